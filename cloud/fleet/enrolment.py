"""A machine's first meeting with the cloud: a code for a person to carry, good once, for a day, for five tries.

The first letters of a code say which enrolment is meant, the others are the secret, kept as a keyed hash.
"""

import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import ForeignKey, Integer, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities
from cloud.fleet.models import Control, Device
from cloud.fleet.vault import Vault, derive

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without I and O, which are read as digits."""
NAMING, SECRET = 2, 6
GOOD_FOR = timedelta(hours=24)
TRIES = 5
AGENT = "/opt/coffee-relay/bin/coffee-agent"
"""Where deploy/README.md installs it; nothing puts that on the path."""
MOST_OPEN = len(LETTERS) ** NAMING // 2


class Enrolment(Base):
    """An open one; a used, expired or used-up one is gone."""

    __tablename__ = "enrolments"

    letters: Mapped[str] = mapped_column(String(NAMING), primary_key=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), unique=True)
    """A new code takes the place of the one before."""
    secret_hash: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]
    tries_left: Mapped[int] = mapped_column(Integer)


class CannotEnrol(Exception):
    """Why there is no code for this device, in words."""


class ByHand(CannotEnrol):
    """No worker sets the broker's rights: a password made here is worth nothing there."""

    def __init__(self) -> None:
        super().__init__(
            "a person lets machines in at this broker (COFFEE_BROKER_RIGHTS is not set): make the password there"
        )


class Revoked(Enum):
    """What a revocation came to."""

    OUT = "out"
    """As soon as a worker has told the broker."""
    BEFORE = "before"
    """It was out already, or there is no such machine."""
    BY_HAND = "by hand"
    """No worker tells the broker: a person takes the name away there. Its open code is gone."""


@dataclass(frozen=True)
class Enrolled:
    """The machine's new identity."""

    device_uuid: str
    password: str


class Codes:
    """Makes and takes codes, hashed with a key of this installation; one of an old secret key counts while listed.

    `reserved`: the cloud's own names at the broker, which no machine may have. `sets_rights`: a worker sets the
    broker's rights.
    """

    def __init__(
        self,
        secret_key: str,
        vault: Vault,
        reserved: Collection[str] = (),
        old_secret_keys: tuple[str, ...] = (),
        *,
        sets_rights: bool = True,
    ) -> None:
        self._keys = tuple(derive(key, b"enrolment") for key in (secret_key, *old_secret_keys))
        self._vault = vault
        self._reserved = reserved
        self.sets_rights = sets_rights

    def begin(self, tx: Transaction, device_uuid: str, now: datetime) -> str:
        """A fresh code for this device. Raises `CannotEnrol`."""
        device = tx.session.get(Device, device_uuid)
        if device is None or device.control != Control.AGENT:
            raise CannotEnrol(f"there is no device {device_uuid} with an agent")
        if not self.sets_rights:
            raise ByHand
        if device_uuid in self._reserved:
            raise CannotEnrol(f"{device_uuid} is the cloud's own name at the broker: give the machine another")
        overdue = (Enrolment.expires_at <= now) | (Enrolment.device_uuid == device_uuid)
        tx.session.execute(delete(Enrolment).where(overdue))
        taken = set(tx.session.scalars(select(Enrolment.letters)))
        if len(taken) >= MOST_OPEN:
            raise CannotEnrol(f"{len(taken)} codes are open; use them, or wait until they expire")
        letters = _letters(NAMING)
        while letters in taken:
            letters = _letters(NAMING)
        secret = _letters(SECRET)
        tx.session.add(
            Enrolment(
                letters=letters, device_uuid=device_uuid, secret_hash=_hash(self._keys[0], letters, secret),
                expires_at=now + GOOD_FOR, tries_left=TRIES,
            )
        )  # fmt: skip
        return letters + secret

    def redeem(self, tx: Transaction, code: str, now: datetime) -> Enrolled | None:
        """Use the code up and make the machine its identity. None for a code that is not good: a try is gone.

        What no code looks like costs no try.
        """
        told = "".join(code.upper().split()).replace("-", "")
        if len(told) != NAMING + SECRET or not set(told) <= set(LETTERS):
            return None
        found = tx.session.get(Enrolment, told[:NAMING], with_for_update=True)
        if found is None or found.expires_at <= now:
            return None
        hashes = [_hash(key, told[:NAMING], told[NAMING:]) for key in self._keys]
        if not any(hmac.compare_digest(found.secret_hash, each) for each in hashes):
            found.tries_left -= 1
            if found.tries_left <= 0:
                tx.session.delete(found)
            return None
        tx.session.delete(found)
        return Enrolled(found.device_uuid, broker_identities.give(tx, found.device_uuid, self._vault, now))

    def revoke(self, tx: Transaction, device_uuid: str, now: datetime) -> Revoked:
        """Out at once, and no code that was made before lets it in again.

        Where a person lets machines in, what it had of us is forgotten: no worker that tells the broker later knows it.
        """
        tx.session.execute(delete(Enrolment).where(Enrolment.device_uuid == device_uuid))
        if not self.sets_rights and tx.session.get(Device, device_uuid) is not None:
            broker_identities.forget(tx, device_uuid)
            return Revoked.BY_HAND
        return Revoked.OUT if broker_identities.revoke(tx, device_uuid, now) else Revoked.BEFORE


def _hash(key: bytes, letters: str, secret: str) -> str:
    return hmac.digest(key, f"{letters} {secret}".encode(), "sha256").hex()


def _letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def spaced(code: str) -> str:
    """As a person reads it."""
    return f"{code[:4]}-{code[4:]}"


def command(public_url: str, code: str) -> str:
    """What that person types at the machine."""
    return f"sudo {AGENT} enroll {public_url} {code}"
