"""The authorities the agent trusts when it calls over TLS: the public ones, or one of the operator's own."""

import ssl
from pathlib import Path


def client_context(*own: str | Path | None, and_public: bool = False) -> ssl.SSLContext:
    """Trust the authorities in these PEM files alone, unless `and_public`; without one the public. Raises `OSError`.

    Python 3.13 refuses an authority without a key usage; those of our older instructions have none, and live ten years.
    """
    files = [one for one in own if one is not None]
    context = ssl.create_default_context(cafile=None if and_public or not files else files[0])
    for file in files:
        context.load_verify_locations(file)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
