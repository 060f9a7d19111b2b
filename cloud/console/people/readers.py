"""People of the merchants in a scope, and their open sessions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Select, exists, func, literal, select, tuple_
from sqlalchemy.orm import Session

from cloud.access import sessions
from cloud.access.journal import Subject
from cloud.access.models import LoginSession, Membership, Passkey, User
from cloud.access.person import Scope
from cloud.console.shell.machines import Machines
from cloud.console.shell.merchants import names_of
from cloud.console.shell.paging import PAGE, Listed
from cloud.console.shell.section import Kind
from cloud.fleet.models import Device, Merchant

MOST = 500
LONGEST_ID = 10
_ORDER = (
    Merchant.name, Merchant.id, func.coalesce(User.name, ""), func.coalesce(User.email, ""),
    func.coalesce(Membership.id, 0),
)  # fmt: skip
"""Of a merchant with nobody, too."""


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


@dataclass(frozen=True)
class Staff:
    """A merchant and its people, as far as a page has them; of nobody only where the merchant has nobody."""

    merchant_id: str
    merchant: str
    members: Sequence[Member]


def everybody(session: Session, scope: Scope, after: str) -> Listed[Staff]:
    """One page of them, by merchant and name; it begins after what `after` names (`Listed.next`)."""
    query = _people().outerjoin(User, User.id == Membership.user_id).where(scope.where(Merchant.id))
    if (begins := _place(session, after)) is not None:
        query = query.where(tuple_(*_ORDER) > tuple_(*[literal(part) for part in begins]))
    rows = session.execute(query.order_by(*_ORDER).limit(PAGE + 1)).all()
    page = rows[:PAGE]
    seen = _last_seen(session, [row.User.id for row in page if row.User is not None])
    by_merchant = groupby(page, key=lambda row: (row.Merchant.id, row.Merchant.name))
    names = names_of(session, scope, {row.Merchant.id for row in page})
    found = [
        Staff(one, names.get(one, name), [_member(row, seen) for row in people if row.Membership is not None])
        for (one, name), people in by_merchant
    ]
    last = page[-1] if len(rows) > PAGE else None
    return Listed(found, "" if last is None else f"{last.Membership.id if last.Membership else 0}.{last.Merchant.id}")


def member(session: Session, member_id: int) -> Member:
    """The one of this id. Raises `NoResultFound`."""
    query = _people().join(User, User.id == Membership.user_id).where(Membership.id == member_id)
    row = session.execute(query).one()
    return _member(row, _last_seen(session, [row.User.id]))


def is_one_merchant(session: Session, scope: Scope) -> bool:
    """Whether the pages are about a single one."""
    return len(session.scalars(select(Merchant.id).where(scope.where(Merchant.id)).limit(2)).all()) == 1


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


def _find(session: Session, member_id: str) -> Subject | None:
    row = session.get(Membership, int(member_id)) if member_id.isdecimal() and len(member_id) < LONGEST_ID else None
    return None if row is None else Subject("user", row.user_id, row.merchant_id)


MEMBER = Kind("member", "member_id", _find)


def _people() -> Select[*tuple[Any, ...]]:
    """Each merchant with each of its memberships; a merchant without one stands there alone."""
    has_passkey = exists().where(Passkey.user_id == User.id).label("has_passkey")
    query = select(Merchant, Membership, User, has_passkey)
    return query.outerjoin(Membership, Membership.merchant_id == Merchant.id)


def _place(session: Session, after: str) -> tuple[Any, ...] | None:
    """Where a page begins by the order of the list: after this person, or else at this merchant's first."""
    number, _, merchant_id = after.partition(".")
    merchant = session.get(Merchant, merchant_id)
    if merchant is None:
        return None
    found = session.get(Membership, int(number)) if number.isdecimal() and len(number) < LONGEST_ID else None
    if found is None or found.merchant_id != merchant_id:
        return merchant.name, merchant.id, "", "", 0
    user = session.get_one(User, found.user_id)
    return merchant.name, merchant.id, user.name, user.email, found.id


def _last_seen(session: Session, user_ids: Collection[str]) -> dict[str, datetime]:
    asked = select(LoginSession.user_id, func.max(LoginSession.seen_at)).group_by(LoginSession.user_id)
    return {row[0]: row[1] for row in session.execute(asked.where(LoginSession.user_id.in_(user_ids)))}


def _member(row: Any, seen: Mapping[str, datetime]) -> Member:
    held, user = row.Membership, row.User
    return Member(
        held.id, user.id, held.merchant_id, row.Merchant.name, user.email, user.name, held.role,
        None if held.machines is None else tuple(held.machines), bool(user.password),
        bool(user.totp) or row.has_passkey, user.disabled_at is not None, seen.get(user.id),
    )  # fmt: skip
