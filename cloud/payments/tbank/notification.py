"""What T-Bank's notification speaks of, and whether it is T-Bank's at all: the Token decides. Pure; believes no status.

Notifications of cards, receipts and accounts are signed alike; without a PaymentId there is nothing to ask about.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud.payments.tbank.signature import is_signed
from protocol import json_text

MAX_NOTIFICATION_BYTES = 64 * 1024
"""Real ones have half a KiB; a fiscal one carries a whole receipt."""

MAX_KEPT = 512
"""Characters of one value kept with a stored notification."""

_TERMINAL = re.compile(r"[!-~]{1,64}")
_OURS = re.compile(r"[\w-]{1,32}", re.ASCII)
_ID = re.compile(r"[0-9]{1,20}")
_STATUS = re.compile(r"[0-9A-Z_]{1,32}")
_KEPT = ("TerminalKey", "OrderId", "Success", "Status", "PaymentId", "ErrorCode", "Amount")
"""No card, no buyer, no Token."""


class NotANotification(ValueError):
    """The body is not a notification; its text is safe to log."""


@dataclass(frozen=True)
class Notification:
    """A hint that something happened. `payment_id` is T-Bank's, None when it speaks of no payment."""

    terminal: str
    status: str
    payment_id: str | None
    amount: str
    our_payment: str
    message: Mapping[str, object] = field(repr=False)

    @property
    def dedupe_key(self) -> str:
        """At most 150 characters, and no part can hold a separator but the first, which is checked by its signature."""
        return f"tbank|{self.payment_id or ''}|{self.status}|{self.amount}|{self.terminal}"

    def is_from(self, password: str) -> bool:
        """Whether it was signed with this terminal's password."""
        return is_signed(self.message, password)

    def kept(self) -> str:
        """What is stored, in the envelope that `recheck` reads the shop from."""
        told = {name: self.message[name] for name in _KEPT if name in self.message}
        short = {name: value[:MAX_KEPT] if isinstance(value, str) else value for name, value in told.items()}
        envelope = {"object": {"recipient": {"account_id": self.terminal}, "tbank": short}}
        return json.dumps(envelope, ensure_ascii=True)


def parse_notification(body: bytes) -> Notification:
    """Read a notification; raises NotANotification, and nothing else, for whatever is not one."""
    if len(body) > MAX_NOTIFICATION_BYTES:
        raise NotANotification("too large")
    try:
        told = json_text.loads(body, number=str)  # a number is signed as it is written
    except json_text.NotJson:
        raise NotANotification("not JSON") from None
    if not isinstance(told, dict):
        raise NotANotification("not an object")
    terminal = _matching(told.get("TerminalKey"), _TERMINAL)
    if terminal is None:
        raise NotANotification("no TerminalKey")
    return Notification(
        terminal=terminal,
        status=_matching(told.get("Status"), _STATUS) or "",
        payment_id=_matching(told.get("PaymentId"), _ID),
        amount=_matching(told.get("Amount"), _ID) or "",
        our_payment=_matching(told.get("OrderId"), _OURS) or "",
        message=told,
    )


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    """Text, or a whole number as text, of the expected form."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and pattern.fullmatch(text) else None
