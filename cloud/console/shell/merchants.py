"""Merchants of a scope: to choose one from, the first of them by name and always the one that is chosen."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.fleet.models import Merchant

MOST = 200
"""A longer list is no menu any more."""


@dataclass(frozen=True)
class Merchants:
    """For a menu."""

    listed: Sequence[tuple[str, str]]
    """Ids with names, by name; equal names told apart."""
    total: int

    @property
    def is_cut(self) -> bool:
        return self.total > len(self.listed)


def merchants_in(session: Session, scope: Scope, chosen: str = "") -> Merchants:
    """What a person may choose from; `chosen` is in it wherever its name stands."""
    mine = within(scope)
    named = select(Merchant.id, Merchant.name).where(mine)
    first = select(Merchant.id).where(mine).order_by(Merchant.name, Merchant.id).limit(MOST)
    found = named.where(or_(Merchant.id.in_(first), Merchant.id == chosen)).order_by(Merchant.name, Merchant.id)
    listed = told_apart([(row.id, row.name) for row in session.execute(found)])
    total = session.scalar(select(func.count()).select_from(Merchant).where(mine)) if len(listed) >= MOST else None
    return Merchants(listed, total or len(listed))


def told_apart(merchants: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Ids with names; a name that several of them have stands with its id."""
    names = Counter(name for _, name in merchants)
    return [(one, _called(one, name, is_shared=names[name] > 1)) for one, name in merchants]


def within(scope: Scope) -> ColumnElement[bool]:
    """Merchants of which anything is in it, be it one machine."""
    owners = scope.merchants | {owner for owner, _ in scope.machines}
    return true() if scope.everything else Merchant.id.in_(sorted(owners))


def names_of(session: Session, scope: Scope, merchant_ids: Collection[str]) -> dict[str, str]:
    """What these are called, told apart from all in the scope; empty where it is of one merchant: nobody asks whose."""
    mine = within(scope)
    if not merchant_ids or len(session.scalars(select(Merchant.id).where(mine).limit(2)).all()) < 2:
        return {}
    found = session.execute(select(Merchant.id, Merchant.name).where(mine, Merchant.id.in_(set(merchant_ids)))).all()
    named = select(Merchant.name).where(mine, Merchant.name.in_({row.name for row in found}))
    shared = set(session.scalars(named.group_by(Merchant.name).having(func.count() > 1)))
    return {row.id: _called(row.id, row.name, is_shared=row.name in shared) for row in found}


def _called(merchant_id: str, name: str, *, is_shared: bool) -> str:
    return f"{name} · {merchant_id}" if is_shared else name
