"""May this be YooKassa's notification, and what does it speak of? Pure; believes nothing it reads.

There is no signature: the sender's address is a second layer only, the fact is the answer to our own GET.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.http.addresses import Network, client_address, within
from protocol import json_text

MAX_NOTIFICATION_BYTES = 64 * 1024
"""Real notifications have 1-3 KiB, and metadata can add 8."""

# Strict, so that no separator, control character or path piece gets into keys, logs and URLs.
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31}){1,2}")
_OURS = re.compile(r"[\w-]{1,32}", re.ASCII)
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_STATUS = re.compile(r"[a-z0-9_]{1,32}")


def is_from_provider(
    remote_address: str | None,
    forwarded_for: str | None,
    trusted_proxies: Sequence[Network],
    senders: Sequence[Network] | None,
) -> bool:
    """Whether the request came from the provider's published networks; always true with the check off (None)."""
    if senders is None:
        return True
    address = client_address(remote_address, forwarded_for, trusted_proxies)
    return address is not None and within(address, senders)


class NotANotification(ValueError):
    """The body is not a notification; its text is safe to log."""


class ObjectKind(enum.Enum):
    """Which of the provider's GETs answers for the object; OTHER is stored, answered 200 and left alone."""

    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"


@dataclass(frozen=True)
class Notification:
    """A hint that something happened. `payment_id` is the payment to ask about, None when there is none.

    `dedupe_key` tells a redelivery, but can be forged ahead of the real one: a duplicate must still wake the re-read.
    """

    event: str
    object_kind: ObjectKind
    object_id: str
    status: str | None
    payment_id: str | None
    our_payment: str = ""
    """Our own payment that it says it is about."""

    @property
    def dedupe_key(self) -> str:
        """`event|object id|object status`: at most 200 characters, and no part can hold a separator."""
        return f"{self.event}|{self.object_id}|{self.status or ''}"


def parse_notification(body: bytes) -> Notification:
    """Read the envelope; raises NotANotification, and nothing else, for whatever is not one."""
    if len(body) > MAX_NOTIFICATION_BYTES:
        raise NotANotification("too large")
    try:
        envelope = json_text.loads(body)
    except json_text.NotJson:
        raise NotANotification("not JSON") from None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("object"), dict):
        raise NotANotification("no object")
    told = envelope["object"]
    event = _matching(envelope.get("event"), _EVENT)
    object_id = _matching(told.get("id"), _ID)
    if event is None or object_id is None:
        raise NotANotification("no usable event or object id")
    kind = _kind(event)
    return Notification(
        event=event,
        object_kind=kind,
        object_id=object_id,
        status=_matching(told.get("status"), _STATUS),
        payment_id=_payment_id(kind, object_id, told.get("payment_id")),
        our_payment=_our_payment(told.get("metadata")),
    )


def _our_payment(metadata: object) -> str:
    """As we named it when we opened it."""
    return _matching(metadata.get("payment"), _OURS) or "" if isinstance(metadata, dict) else ""


def _kind(event: str) -> ObjectKind:
    subject = event.partition(".")[0]
    return {"payment": ObjectKind.PAYMENT, "refund": ObjectKind.REFUND}.get(subject, ObjectKind.OTHER)


def _payment_id(kind: ObjectKind, object_id: str, told: object) -> str | None:
    if kind is ObjectKind.PAYMENT:
        return object_id
    return _matching(told, _ID) if kind is ObjectKind.REFUND else None


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
