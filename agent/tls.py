"""Whom the agent trusts when it calls over TLS: the public authorities, or one of the operator's own."""

import ssl
from pathlib import Path


def client_context(own_authority: str | Path | None, *, and_public: bool = False) -> ssl.SSLContext:
    """Trust the authority in this PEM file alone, unless `and_public`; without one the public ones. Raises `OSError`.

    Python 3.13 refuses an authority without a key usage; those of our older instructions have none, and live ten years.
    """
    context = ssl.create_default_context(cafile=None if and_public else own_authority)
    if own_authority is not None:
        context.load_verify_locations(own_authority)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
