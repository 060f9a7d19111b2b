"""What every channel can do, what it is given, and how a sending can end. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Why(StrEnum):
    """Our own reasons why nothing arrived (`wording.undelivered` words them). Any other text is the other side's."""

    NO_CONNECTION = "no_connection"
    TOO_MANY = "too_many_messages"
    NOT_PUBLIC = "not_public"
    ADDRESS_REFUSED = "address_refused"
    BOT_REFUSED = "bot_refused"
    LOGIN_REFUSED = "login_refused"
    NOT_SET_UP = "not_set_up"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - a reason


OURS = frozenset({Why.BOT_REFUSED, Why.LOGIN_REFUSED, Why.NOT_SET_UP, Why.SECRET_UNREADABLE})
"""Wrong on this server: it stays so until its operator mends it, and only a message that arrives proves that."""


@dataclass(frozen=True)
class Button:
    """A button under a message: what it says, and the signed text that comes back when it is pressed."""

    label: str
    data: str


@dataclass(frozen=True)
class Letter:
    """What is to be sent. `key` names this sending: a repeat has the same."""

    key: str
    subject: str
    text: str
    link: str = ""
    buttons: Sequence[Button] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For programs: what the text says, as data."""
    repeated: bool = False
    """It may have arrived before: nobody knows how the earlier attempt ended."""


@dataclass(frozen=True)
class Address:
    """Where to, in this kind of channel: a chat, a mailbox, a URL. `secret` signs what goes there, if anything does."""

    to: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Delivered:
    """It has arrived. `ref` names the message, to change it later."""

    ref: str = ""


@dataclass(frozen=True)
class NotNow:
    """Certainly not sent; again after so many seconds."""

    retry_after_s: float
    why: str


@dataclass(frozen=True)
class Moved:
    """Certainly not sent: the chat has another address now."""

    to: str


@dataclass(frozen=True)
class Refused:
    """Certainly not sent, and it never will be: the channel needs a person."""

    why: str


@dataclass(frozen=True)
class Unknown:
    """Perhaps sent."""

    why: str


Sending = Delivered | NotNow | Moved | Refused | Unknown


class Sender(Protocol):
    """One kind of channel. Any thread may use it; it never raises for what the other side does."""

    def send(self, address: Address, letter: Letter) -> Sending:
        """Send a new message."""

    def change(self, address: Address, ref: str, letter: Letter) -> Sending:
        """Change what was sent as `ref`; where that is gone, send it anew."""


REPEATED = {"ru": "(повтор: возможно, уже приходило)", "en": "(repeated: it may have arrived before)"}
"""Marks a message that may be a duplicate."""
