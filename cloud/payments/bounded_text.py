"""What a provider tells, as text that any column takes. Pure."""

import json
from collections.abc import Mapping

TEXT_LIMIT = 512
"""The longest text a provider's API allows in a field we keep (a metadata value)."""

URL_LIMIT = 2048

EVIDENCE_LIMIT = 16 * 1024
"""Evidence kept with an order, characters; real objects have 1-2 KiB, and metadata can add 8."""


def bounded_text(value: object, limit: int = TEXT_LIMIT) -> str | None:
    """None for what is no text. JSON can spell NUL and lone surrogates, PostgreSQL cannot store them."""
    if not isinstance(value, str):
        return None
    return value[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def evidence(kept: Mapping[str, object]) -> str:
    """An object's JSON for the ledger."""
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return text[:EVIDENCE_LIMIT].encode("utf-8", "replace").decode("utf-8")
