"""Signatures and envelopes of the merchant's side (docs/custom-payments.md, "Signing"). Pure."""

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qs

from protocol import json_text


class NotSigned(ValueError):
    """Not signed with the agreed key for this purpose."""


def sign(secret: str, purpose: str, text: str) -> str:
    """64 hexadecimal digits."""
    return hmac.new(secret.encode(), f"coffee-custom-1 {purpose}\n{text}".encode(), sha256).hexdigest()


def envelope(secret: str, purpose: str, told: Mapping[str, object]) -> dict[str, str]:
    """What is told, signed."""
    payload = json.dumps(told, ensure_ascii=False)
    return {"payload": payload, "signature": sign(secret, purpose, payload)}


def open_envelope(secret: str, purpose: str, body: bytes) -> dict[str, object]:
    """What was told. Raises `NotSigned`, and `NotJson` when what was signed is no object."""
    try:
        envelope = json_text.decode(body, dict[str, object])
        payload, signature = str(envelope["payload"]), str(envelope["signature"])
    except (json_text.NotJson, KeyError):
        raise NotSigned("no envelope") from None
    if not _is_same(sign(secret, purpose, payload), signature):
        raise NotSigned("the signature does not fit")
    return json_text.decode(payload, dict[str, object])


def open_query(secret: str, purpose: str, query: str) -> dict[str, str]:
    """The parameters of a signed query string. Raises `NotSigned`."""
    signed, _, signature = query.rpartition("&signature=")
    if not _is_same(sign(secret, purpose, signed), signature):
        raise NotSigned("the signature does not fit")
    return {name: values[-1] for name, values in parse_qs(signed, keep_blank_values=True).items()}


def _is_same(ours: str, theirs: str) -> bool:
    """In constant time. As bytes: of texts only ASCII can be compared so."""
    return hmac.compare_digest(ours.encode(), theirs.encode())
