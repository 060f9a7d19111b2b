"""How we and a merchant's own payment page sign what we say to each other (docs/custom-payments.md). Pure.

One rule for both sides and every direction: HMAC-SHA256 over a purpose and a text that is never taken apart before it
is checked: the query string as it is sent, or the JSON text inside an envelope.
"""

import hmac
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from urllib.parse import quote

from protocol import json_text

SCHEME = "coffee-custom-1"
MAX_PAYLOAD = 16 * 1024
"""Characters; a payment with a hundred refunds has half as many."""
_HEX = re.compile(r"[0-9a-f]{64}")


class Purpose(StrEnum):
    """What a signed text is for: one made for another purpose never passes."""

    PAGE = "page"
    """The buyer, sent to the merchant's page."""
    STATUS = "status"
    """Our question about a payment."""
    ACTION = "action"
    """Our order to capture, cancel or refund."""
    ANSWER = "answer"
    """The merchant's answer to either."""
    CALLBACK = "callback"
    """The merchant's notification."""


class NotSigned(ValueError):
    """No signed message at all. The text is safe to log."""


class WronglySigned(NotSigned):
    """Not by this key for this purpose."""


def sign(secret_key: str, purpose: Purpose, text: str) -> str:
    """The signature, 64 hexadecimal digits."""
    message = f"{SCHEME} {purpose.value}\n{text}".encode()
    return hmac.new(secret_key.encode(), message, sha256).hexdigest()


def query_of(parameters: Sequence[tuple[str, str]]) -> str:
    """Parameters as one query string, everything but letters, digits and `-._~` percent-encoded as UTF-8."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)


def signed_query(secret_key: str, purpose: Purpose, query: str) -> str:
    """The query string with its signature, which is always the last parameter."""
    return f"{query}&signature={sign(secret_key, purpose, query)}"


def envelope(secret_key: str, purpose: Purpose, payload: str) -> bytes:
    """A JSON text in a signed envelope. The text travels as it is, so there is nothing to agree on about its form."""
    return json.dumps({"payload": payload, "signature": sign(secret_key, purpose, payload)}).encode()


def payload_of(body: bytes | None) -> tuple[str, str]:
    """The text inside an envelope and its signature, not yet checked. Raises `NotSigned`."""
    try:
        told = json_text.loads(body or b"")
    except json_text.NotJson:
        raise NotSigned("not JSON") from None
    payload = told.get("payload") if isinstance(told, dict) else None
    signature = told.get("signature") if isinstance(told, dict) else None
    if not isinstance(payload, str) or not isinstance(signature, str) or not _HEX.fullmatch(signature):
        raise NotSigned("no envelope of payload and signature")
    if len(payload) > MAX_PAYLOAD:
        raise NotSigned("too large")
    return payload, signature


def check(secret_key: str, purpose: Purpose, payload: str, signature: str) -> None:
    """Raises `WronglySigned` unless the text was signed with this key for this purpose."""
    try:
        fits = hmac.compare_digest(sign(secret_key, purpose, payload), signature)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and nobody can sign
        fits = False
    if not fits:
        raise WronglySigned("the signature does not fit")


def opened(secret_key: str, purpose: Purpose, body: bytes | None) -> str:
    """The text inside an envelope, checked. Raises `NotSigned`."""
    payload, signature = payload_of(body)
    check(secret_key, purpose, payload, signature)
    return payload
