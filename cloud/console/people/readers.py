"""People of the merchants in a scope, and their open sessions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from cloud.access import sessions
from cloud.access.journal import Subject
from cloud.access.models import LoginSession, Membership, Passkey, User
from cloud.access.person import Scope
from cloud.console.shell.machines import Machines
from cloud.console.shell.section import Kind
from cloud.fleet.models import Device, Merchant

MOST = 500


@dataclass(frozen=True)
class Member:
    """One person in one role."""

    id: int
    user_id: str
    merchant_id: str
    merchant: str
    email: str
    name: str
    role: str
    machines: tuple[str, ...] | None
    has_password: bool
    has_second_factor: bool
    disabled: bool
    seen_at: datetime | None


def members(session: Session, scope: Scope, member_id: int | None = None) -> list[Member]:
    """Everybody there, by merchant and name."""
    seen = select(LoginSession.user_id, func.max(LoginSession.seen_at).label("at")).group_by(LoginSession.user_id)
    last = seen.subquery()
    query = (
        select(Membership, User, Merchant.name, last.c.at, exists().where(Passkey.user_id == User.id))
        .join(User, User.id == Membership.user_id)
        .join(Merchant, Merchant.id == Membership.merchant_id)
        .outerjoin(last, last.c.user_id == User.id)
        .where(scope.where(Membership.merchant_id))
        .order_by(Merchant.name, User.name, User.email)
        .limit(MOST)
    )
    if member_id is not None:
        query = query.where(Membership.id == member_id)
    return [_member(*row) for row in session.execute(query)]


def open_sessions(session: Session, user_id: str, now: datetime) -> Sequence[LoginSession]:
    return sessions.live_of(session, user_id, now)


def machines(session: Session, merchant_id: str, held: Collection[str] = ()) -> Machines:
    """The machines a technician can be limited to: all that are held now, however many, then others."""
    of_merchant = select(Device.device_uuid, Device.location).where(Device.merchant_id == merchant_id)
    by_name = of_merchant.order_by(Device.device_uuid)
    own = session.execute(by_name.where(Device.device_uuid.in_(held))).all()
    others = session.execute(by_name.where(Device.device_uuid.not_in(held)).limit(MOST + 1)).all()
    return Machines([(name, place) for name, place in (*own, *others[:MOST])], len(others) > MOST)


def known(session: Session, merchant_id: str, names: Collection[str]) -> set[str]:
    """Those of them that are machines of this merchant."""
    of_merchant = select(Device.device_uuid).where(Device.merchant_id == merchant_id)
    return set(session.scalars(of_merchant.where(Device.device_uuid.in_(names))))


def merchants(session: Session, scope: Scope) -> list[tuple[str, str]]:
    query = select(Merchant.id, Merchant.name).where(scope.where(Merchant.id)).order_by(Merchant.name).limit(MOST)
    return [(row.id, row.name) for row in session.execute(query)]


def _find(session: Session, member_id: str) -> Subject | None:
    row = session.get(Membership, int(member_id)) if member_id.isdecimal() and len(member_id) < 10 else None
    return None if row is None else Subject("user", row.user_id, row.merchant_id)


MEMBER = Kind("member", "member_id", _find)


def _member(row: Membership, user: User, merchant: str, seen_at: datetime | None, has_passkey: bool) -> Member:
    return Member(
        row.id, user.id, row.merchant_id, merchant, user.email, user.name, row.role,
        None if row.machines is None else tuple(row.machines), bool(user.password),
        bool(user.totp) or has_passkey, user.disabled_at is not None, seen_at,
    )  # fmt: skip
