"""A user's passkeys: kept, named, used, removed. A removed one is refused from then on; it is not put back."""

from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from cloud.access import authenticator
from cloud.access.authenticator import Answer, Known, Made, NotValid
from cloud.access.models import Passkey, RecoveryCode, User
from cloud.access.relying_party import RelyingParty
from cloud.access.tokens import new_id
from cloud.database.transaction import Transaction

MANY = 10
"""Of one user."""
LONGEST_NAME = 64


class TooMany(Exception):
    """He has so many already, or this one."""


class Copied(Exception):
    """A key whose count did not grow: somebody else signs with it too."""

    def __init__(self, key: Passkey) -> None:
        super().__init__("its count did not grow: it was copied")
        self.key_id, self.user_id, self.name = key.id, key.user_id, key.name


def of_user(session: Session, user_id: str) -> list[Passkey]:
    """The oldest first."""
    query = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.created_at, Passkey.id)
    return list(session.scalars(query))


def has_any(session: Session, user_id: str) -> bool:
    return bool(session.scalar(select(exists().where(Passkey.user_id == user_id))))


def known_of(session: Session, user_id: str) -> list[Known]:
    """His keys, as browsers are told of them."""
    return [Known(one.credential, tuple(one.transports)) for one in of_user(session, user_id)]


def keep(tx: Transaction, user_id: str, made: Made, name: str, now: datetime) -> Passkey:
    """Register a key that was just made. Raises `TooMany`."""
    tx.session.get_one(User, user_id, with_for_update=True)
    count = tx.session.scalar(select(func.count()).where(Passkey.user_id == user_id)) or 0
    taken = tx.session.scalar(select(exists().where(Passkey.credential == made.credential)))
    if count >= MANY or taken:
        raise TooMany
    key = Passkey(
        id=new_id(), user_id=user_id, credential=made.credential, public_key=made.public_key,
        signatures=made.signatures, transports=list(made.transports), name=name[:LONGEST_NAME], created_at=now,
    )  # fmt: skip
    tx.session.add(key)
    tx.session.flush()
    return key


def find(tx: Transaction, user_id: str, key_id: str) -> Passkey | None:
    """Return his own key of this id, locked after him: whoever takes all his keys away locks him first, too."""
    tx.session.get_one(User, user_id, with_for_update=True)
    query = select(Passkey).where(Passkey.id == key_id, Passkey.user_id == user_id)
    return tx.session.scalar(query.with_for_update())


def remove(tx: Transaction, key: Passkey) -> None:
    """Refuse it from now on. With the last second step there was, its recovery codes go."""
    user_id = key.user_id
    tx.session.delete(key)
    tx.session.flush()
    if not tx.session.get_one(User, user_id).totp and not has_any(tx.session, user_id):
        tx.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def use(tx: Transaction, answer: Answer, rp: RelyingParty, now: datetime) -> Passkey:
    """Return the key that signed this, locked after its user, as where keys go. Raises `NotValid` and `Copied`."""
    user_id = tx.session.scalar(select(Passkey.user_id).where(Passkey.credential == answer.credential))
    if user_id is None:
        raise NotValid("no such key")
    tx.session.get_one(User, user_id, with_for_update=True)
    key = tx.session.scalar(select(Passkey).where(Passkey.credential == answer.credential).with_for_update())
    if key is None:
        raise NotValid("no such key any more")
    if answer.handle not in {"", key.user_id}:
        raise NotValid("another user's")
    count = authenticator.shown(answer, rp, key.public_key)
    if authenticator.is_copied(key.signatures, count):
        raise Copied(key)
    key.signatures, key.used_at = count, now
    return key
