"""Each machine's identity at the broker, as it should be: name, password, and whether it may come in at all.

The truth is here, the password in the vault; the broker keeps a hash of its own. A loop makes the broker agree
(`cloud/courier/broker_rights.py`), also after it has lost everything.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Integer, String, Text, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet.locked_secrets import LockedSecret
from cloud.fleet.models import Device
from cloud.fleet.vault import Vault

TOPIC = "broker:rights"
ACTIVE, REVOKED = "active", "revoked"


class BrokerIdentity(Base):
    """One machine's name at the broker is its device_uuid, and so is its client id."""

    __tablename__ = "broker_identities"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    password: Mapped[str] = mapped_column(Text)
    """Locked; empty once revoked."""
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Grows with each change."""
    applied: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """The version that the broker has."""
    changed_at: Mapped[datetime]


def give(tx: Transaction, device_uuid: str, vault: Vault, now: datetime) -> str:
    """A new password for this machine; whoever holds the old one is thrown out."""
    password = secrets.token_urlsafe(24)
    identity = tx.session.get(BrokerIdentity, device_uuid, with_for_update=True)
    if identity is None:
        identity = _begun(tx, device_uuid)
    _change(tx, identity, ACTIVE, vault.lock(password), now)
    return password


def revoke(tx: Transaction, device_uuid: str, now: datetime) -> bool:
    """Let it in no more, and end its connection, also when its password was made by hand; False: it was out already."""
    identity = tx.session.get(BrokerIdentity, device_uuid, with_for_update=True)
    if identity is None and tx.session.get(Device, device_uuid) is not None:
        identity = _begun(tx, device_uuid)
    elif identity is None or identity.state == REVOKED:
        return False
    _change(tx, identity, REVOKED, "", now)
    return True


def forget(tx: Transaction, device_uuid: str) -> None:
    """Keep no identity of it: a person says at the broker whether it may come in."""
    tx.session.execute(delete(BrokerIdentity).where(BrokerIdentity.device_uuid == device_uuid))


def is_revoked(session: Session, device_uuid: str) -> bool:
    """Whether somebody threw it out, and it has not been enrolled since."""
    identity = of(session, device_uuid)
    return identity is not None and identity.state == REVOKED


def of(session: Session, device_uuid: str) -> BrokerIdentity | None:
    """This machine's."""
    return session.get(BrokerIdentity, device_uuid)


def known(session: Session) -> Sequence[BrokerIdentity]:
    """All of them, in order."""
    return session.scalars(select(BrokerIdentity).order_by(BrokerIdentity.device_uuid)).all()


def changed(session: Session, limit: int, besides: Collection[str] = ()) -> Sequence[BrokerIdentity]:
    """Return those of which the broker does not know the newest; machines in `besides` are passed over."""
    waiting = select(BrokerIdentity).where(BrokerIdentity.applied != BrokerIdentity.version)
    waiting = waiting.where(BrokerIdentity.device_uuid.not_in(besides))
    return session.scalars(waiting.order_by(BrokerIdentity.changed_at).limit(limit)).all()


def applied(tx: Transaction, device_uuid: str, version: int) -> None:
    """Note that the broker has this version; a newer one may have been written over by it, and is told again."""
    identity = tx.session.get(BrokerIdentity, device_uuid, with_for_update=True)
    if identity is not None:
        identity.applied = version if identity.version == version else 0


def locked_secrets(session: Session) -> Iterable[LockedSecret]:
    """Passwords that are good, their rows held."""
    live = select(BrokerIdentity).where(BrokerIdentity.state == ACTIVE).with_for_update()
    for identity in session.scalars(live):
        yield LockedSecret(f"broker password of machine {identity.device_uuid}", identity, "password")


def _begun(tx: Transaction, device_uuid: str) -> BrokerIdentity:
    identity = BrokerIdentity(device_uuid=device_uuid, version=0, applied=0)
    tx.session.add(identity)
    return identity


def _change(tx: Transaction, identity: BrokerIdentity, state: str, password: str, now: datetime) -> None:
    identity.state, identity.password, identity.changed_at = state, password, now
    identity.version += 1
    tx.notify(TOPIC)
