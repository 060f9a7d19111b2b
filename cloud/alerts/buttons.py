"""Buttons under a message: acknowledge or snooze, signed, dead after ten minutes. Never money. Pure.

A button holds 64 bytes at most: the act, the incident, when it was made, and a signature over these and the channel.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cloud.fleet.vault import derive

LIVES = timedelta(minutes=10)
_SIGNATURE_BYTES = 12


class Press(StrEnum):
    """What a button does."""

    ACKNOWLEDGE = "a"
    SNOOZE = "s"


class NotOurs(Exception):
    """The text was not made here, or not for this channel."""


@dataclass(frozen=True)
class Pressed:
    """What a button says."""

    press: Press
    incident_id: str
    made_at: datetime

    def is_alive(self, now: datetime) -> bool:
        """Whether it is young enough to be obeyed."""
        return self.made_at <= now < self.made_at + LIVES


class ButtonSeal:
    """Signs what buttons say. One signed by an old secret key counts while that is listed."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        self._keys = tuple(derive(key, b"alert buttons") for key in (secret_key, *old_secret_keys))

    def seal(self, press: Press, incident_id: str, channel_id: str, now: datetime) -> str:
        """The text of a button."""
        said = f"{press.value}{incident_id}{int(now.timestamp()):x}"
        return f"{said}.{_sign(self._keys[0], said, channel_id)}"

    def open(self, text: str, channel_id: str) -> Pressed:
        """What a pressed button says. Raises `NotOurs`."""
        said, _, signature = text.partition(".")
        signatures = [_sign(key, said, channel_id).encode() for key in self._keys]
        if not any(hmac.compare_digest(signature.encode(), each) for each in signatures):
            raise NotOurs
        try:
            return Pressed(Press(said[0]), said[1:33], datetime.fromtimestamp(int(said[33:], 16), UTC))
        except (ValueError, IndexError, OverflowError) as error:
            raise NotOurs from error


def _sign(key: bytes, said: str, channel_id: str) -> str:
    made = hmac.new(key, f"{channel_id}:{said}".encode(), hashlib.sha256).digest()[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(made).decode()
