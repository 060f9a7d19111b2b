"""What a notification says, as its provider's endpoint has read it: one type for all. Pure; never believed."""

from dataclasses import dataclass, field

MAX_NOTIFICATION_BYTES = 64 * 1024
"""Real ones have half a KiB to 3 KiB; metadata or a fiscal receipt can add 8."""


class NotANotification(ValueError):
    """The body is not a notification; its text is safe to log."""


@dataclass(frozen=True)
class Notification:
    """A hint that something happened. `dedupe_key` tells a redelivery, but may be forged ahead of the real one."""

    provider: str
    event: str
    dedupe_key: str
    provider_payment_id: str
    """The provider's id of the payment to ask about; "" when there is none."""
    account_id: str
    """The shop it says it speaks of; "" when it does not say. Only chooses where to ask, unless signed."""
    body: str = field(repr=False)
    """What is stored of it: text that any database takes."""
    our_payment: str = ""
    """Our own id of the payment; nobody else knows it."""
    is_signed: bool = False
    """With the account's own key: it speaks of this account's payments and of no other's."""
    is_key_theirs: bool = False
    """The sender chose the key: other words under a used one are refused."""
    is_read_back: bool = False
    """The client may answer from what is stored here: ask once it is committed."""
    says_paid: bool = False
    """On the word of the merchant, which may be all there is."""
