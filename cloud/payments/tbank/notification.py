"""What T-Bank's notification speaks of, and whether it is T-Bank's at all: the Token decides. Pure; believes no status.

Notifications of cards, receipts and accounts are signed alike; without a PaymentId there is nothing to ask about.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud.payments.notification import MAX_NOTIFICATION_BYTES, NotANotification, Notification
from cloud.payments.tbank.signature import is_signed
from protocol import json_text

MAX_KEPT = 512
"""Characters of one value kept with a stored notification."""

_TERMINAL = re.compile(r"[!-~]{1,64}")
_OURS = re.compile(r"[\w-]{1,32}", re.ASCII)
_ID = re.compile(r"[0-9]{1,20}")
_STATUS = re.compile(r"[0-9A-Z_]{1,32}")
_KEPT = ("TerminalKey", "OrderId", "Success", "Status", "PaymentId", "ErrorCode", "Amount")
"""No card, no buyer, no Token."""


@dataclass(frozen=True)
class Message:
    """A notification as it came, its signature not yet checked."""

    terminal: str
    status: str
    provider_payment_id: str
    """Empty when it speaks of no payment."""
    amount: str
    our_payment: str
    fields: Mapping[str, object] = field(repr=False)

    def is_from(self, password: str) -> bool:
        """Whether it was signed with this terminal's password."""
        return is_signed(self.fields, password)

    def notification(self) -> Notification:
        """What it says, for the inbox, once it is known to be genuine."""
        # At most 150 characters, and no part can hold a separator but the last, which is checked by its signature.
        key = f"tbank|{self.provider_payment_id}|{self.status}|{self.amount}|{self.terminal}"
        kept = {name: self.fields[name] for name in _KEPT if name in self.fields}
        short = {name: value[:MAX_KEPT] if isinstance(value, str) else value for name, value in kept.items()}
        return Notification(
            "tbank", self.status, key, self.provider_payment_id, self.terminal, json.dumps(short, ensure_ascii=True),
            our_payment=self.our_payment, is_signed=True,
        )  # fmt: skip


def parse_message(body: bytes) -> Message:
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
    return Message(
        terminal=terminal,
        status=_matching(told.get("Status"), _STATUS) or "",
        provider_payment_id=_matching(told.get("PaymentId"), _ID) or "",
        amount=_matching(told.get("Amount"), _ID) or "",
        our_payment=_matching(told.get("OrderId"), _OURS) or "",
        fields=told,
    )


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    """Text, or a whole number as text, of the expected form."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and pattern.fullmatch(text) else None
