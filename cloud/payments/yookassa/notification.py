"""May this be YooKassa's notification, and what does it speak of? Pure; believes nothing it reads.

There is no signature: the sender's address is a second layer only, the fact is the answer to our own GET.
"""

import re
from collections.abc import Sequence

from cloud.http.addresses import Network, client_address, within
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, NotANotification, Notification
from protocol import json_text

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
    status = _matching(told.get("status"), _STATUS) or ""
    return Notification(
        provider="yookassa",
        event=event,
        dedupe_key=f"{event}|{object_id}|{status}",
        provider_payment_id=_provider_payment_id(event, object_id, told.get("payment_id")),
        account_id=_named(told.get("recipient"), "account_id", _ID),
        our_payment=_named(told.get("metadata"), "payment", _OURS),
        body=body.decode("utf-8", "replace").replace("\0", "\ufffd"),  # as UTF-16 it has zeros, PostgreSQL takes none
    )


def _provider_payment_id(event: str, object_id: str, told: object) -> str:
    """The payment whose answer tells more; "" for objects that belong to none."""
    match event.partition(".")[0]:
        case "payment":
            return object_id
        case "refund":
            return _matching(told, _ID) or ""
        case _:
            return ""


def _named(part: object, name: str, pattern: re.Pattern[str]) -> str:
    return _matching(part.get(name), pattern) or "" if isinstance(part, dict) else ""


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
