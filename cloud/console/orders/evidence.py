"""The evidence of one order as a file that proves itself: JSON, signed with Ed25519 by a key of our secret.

With the file and our public key anybody can tell that not a letter of it was changed (docs/console.md, evidence).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from cloud.access.signing import Signer
from cloud.console.orders.timeline import Line
from cloud.console.orders.whole import WholeOrder
from protocol import json_text

KIND, VERSION = "coffee-relay evidence", 1
HOW = "Ed25519 over `document` as JSON in UTF-8: keys sorted, no spaces, nothing escaped that need not be"
_ORDER = (
    "id", "device_uuid", "merchant_id", "drink_no", "drink_name", "size", "price", "status", "reason", "uncertain",
    "goodwill", "given_back", "created_at", "paid_at", "finished_at",
)  # fmt: skip
_PAYMENT = (
    "id", "provider_payment_id", "scenario", "account_id", "state", "method", "amount", "captured", "refunded",
    "started_at", "paid_at", "cancel_reason", "problem",
)  # fmt: skip


class NotEvidence(ValueError):
    """This is no such file."""


def document_of(whole: WholeOrder, verdicts: Mapping[str, str], made_at: datetime) -> dict[str, Any]:
    """All that the order's page tells, as plain values. Kopecks; times in UTC."""
    found = {
        "kind": KIND,
        "version": VERSION,
        "made_at": made_at,
        "verdict": dict(verdicts),
        "order": {name: getattr(whole.order, name) for name in _ORDER},
        "place": whole.location,
        "payments": [{name: getattr(payment, name) for name in _PAYMENT} for payment in whole.payments],
        "happened": [_line(line) for line in whole.lines],
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def sealed(document: Mapping[str, Any], signer: Signer) -> str:
    """The file's text."""
    whole = {
        "document": document,
        "signature": signer.sign(canonical(document)),
        "public_key": signer.public_key,
        "signed": HOW,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def verify(text: str, signer: Signer) -> dict[str, Any]:
    """The document, if one of our keys has signed exactly it. Raises `NotEvidence`, with what is wrong in words."""
    try:
        whole = json_text.decode(text, dict[str, Any])
    except json_text.NotJson as error:
        raise NotEvidence("it is no JSON") from error
    document, signature = whole.get("document"), whole.get("signature")
    if not isinstance(document, dict) or not isinstance(signature, str) or document.get("kind") != KIND:
        raise NotEvidence("it is no evidence file of ours")
    if not signer.fits(canonical(document), signature):
        raise NotEvidence("the signature does not fit: it was changed, or another key has signed it")
    return document


def canonical(document: Mapping[str, Any]) -> bytes:
    """What is signed: the same document always gives the same bytes."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _line(line: Line) -> dict[str, Any]:
    fields = {
        "at": line.at, "who": line.who, "what": line.what, "name": line.name, "reason": line.reason,
        "words": line.words, "kopecks": line.kopecks, "evidence": dict(line.evidence),
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value not in ("", None, {})}


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value
