"""The second factor: authenticator codes (TOTP), and recovery codes for a user who has lost it. Keys: `passkeys.py`."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import pyotp
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from cloud.access import messengers, passkeys
from cloud.access.models import Identity, Passkey, RecoveryCode, User
from cloud.access.tokens import hashed, new_code, plain
from cloud.database.transaction import Transaction
from cloud.fleet.locked_secrets import LockedSecret

STEP_S = 30
DRIFT = 1
"""Steps a phone's clock may be off."""
ISSUER = "Coffee Relay"
RECOVERY_CODES = 10
RECOVERY_LENGTH = 10


class Locks(Protocol):
    """Keeps secrets at rest (`fleet.vault.Vault`)."""

    def lock(self, secret: str) -> str: ...

    def open(self, locked: str) -> str: ...


def new_secret() -> str:
    return pyotp.random_base32()


def address(secret: str, email: str) -> str:
    """What an authenticator reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def step_of(secret: str, code: str, now: datetime, after: int = 0) -> int | None:
    """The time step whose code this is, later than `after`; None for a wrong code, or one taken before."""
    code = plain(code)
    present = int(now.timestamp()) // STEP_S
    totp = pyotp.TOTP(secret)
    for step in range(present - DRIFT, present + DRIFT + 1):
        if step > after and pyotp.utils.strings_equal(totp.generate_otp(step), code):
            return step
    return None


def has_any(session: Session, user: User) -> bool:
    """Whether his password alone does not let him in."""
    return bool(user.totp) or passkeys.has_any(session, user.id)


def set_up(tx: Transaction, user_id: str, locks: Locks, secret: str, step: int) -> tuple[str, ...]:
    """Store a secret whose code was just shown; return its recovery codes, which are shown only now."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    user.totp, user.totp_step = locks.lock(secret), step
    return new_recovery_codes(tx, user_id)


def new_recovery_codes(tx: Transaction, user_id: str) -> tuple[str, ...]:
    """Make the old ones worthless; the new ones, told this once."""
    tx.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = tuple(new_code(RECOVERY_LENGTH) for _ in range(RECOVERY_CODES))
    tx.session.add_all([RecoveryCode(user_id=user_id, code=hashed(code)) for code in codes])
    return codes


def first_recovery_codes(tx: Transaction, user_id: str) -> tuple[str, ...]:
    """Make recovery codes for a user who has none left; return nothing while some are left."""
    left = select(exists().where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)))
    return () if tx.session.scalar(left) else new_recovery_codes(tx, user_id)


def take(tx: Transaction, user_id: str, locks: Locks, code: str, now: datetime) -> str:
    """Use a code up: "totp" or "recovery" by what it was, "" for a wrong one."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    step = step_of(locks.open(user.totp), code, now, user.totp_step) if user.totp else None
    if step is not None:
        user.totp_step = step
        return "totp"
    wanted = (RecoveryCode.user_id == user_id, RecoveryCode.code == hashed(plain(code)))
    row = tx.session.scalar(select(RecoveryCode).where(*wanted, RecoveryCode.used_at.is_(None)).with_for_update())
    if row is None:
        return ""
    row.used_at = now
    return "recovery"


def take_away(tx: Transaction, user_id: str) -> None:
    """Let a user who has lost phone, keys and codes set up anew; whoever found them gets in, or acts, by none."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    user.totp, user.totp_step = "", 0
    for table in (RecoveryCode, Passkey, Identity):
        tx.session.execute(delete(table).where(table.user_id == user_id))
    messengers.unlink(tx, user_id)


def locked_secrets(session: Session) -> Iterable[LockedSecret]:
    """Secrets of authenticators, their rows held."""
    for user in session.scalars(select(User).where(User.totp != "").order_by(User.id).with_for_update()):
        yield LockedSecret(f"second factor of user {user.id}", user, "totp")
