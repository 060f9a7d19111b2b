"""The person at the console now, and what he may see and do there: values, made afresh for each request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, and_, false, or_, true
from sqlalchemy.orm import InstrumentedAttribute

from cloud.access.acts import ANYBODYS, MONEY_ACTS, Act, Role, grants

CONFIRMED_FOR = timedelta(minutes=10)
"""So long after showing who he is a person need not show it again for an act that asks for it."""


@dataclass(frozen=True)
class Held:
    """One role at one merchant; with `machines` it reaches only those."""

    merchant_id: str
    role: Role
    machines: frozenset[str] | None = None

    def allows(self, act: Act) -> bool:
        """Whether the role has the act at all."""
        return act in grants(self.role, of_machines=self.machines is not None)


@dataclass(frozen=True)
class Scope:
    """What a reader may read: these merchants, of some only these machines. Never everything by mistake."""

    merchants: frozenset[str] = frozenset()
    machines: frozenset[tuple[str, str]] = frozenset()
    """Merchant and machine, at merchants of which only some machines are seen."""
    everything: bool = False
    """Every merchant there is: a platform admin."""

    def covers(self, merchant_id: str, device_uuid: str = "") -> bool:
        """Whether this is within it."""
        whole = self.everything or merchant_id in self.merchants
        return whole or (merchant_id, device_uuid) in self.machines

    def where(
        self,
        merchant: "InstrumentedAttribute[str] | ColumnElement[str]",
        machine: "InstrumentedAttribute[str] | ColumnElement[str] | None" = None,
    ) -> ColumnElement[bool]:
        """Return a query's condition. Without a column of machines, merchants seen by single machines are left out."""
        if self.everything:
            return true()
        parts: list[ColumnElement[bool]] = []
        if self.merchants:
            parts.append(merchant.in_(sorted(self.merchants)))
        if machine is not None and self.machines:
            # Pair by pair: a machine he may see at one owner is not his at another, whose it may have become.
            for owner, pairs in groupby(sorted(self.machines), key=itemgetter(0)):
                parts.append(and_(merchant == owner, machine.in_([name for _, name in pairs])))
        return or_(*parts) if parts else false()

    def only(self, merchant_id: str) -> "Scope":
        """The part of it that is one merchant's."""
        if self.covers(merchant_id):
            return Scope(frozenset({merchant_id}))
        return Scope(machines=frozenset(pair for pair in self.machines if pair[0] == merchant_id))

    @property
    def is_empty(self) -> bool:
        return not (self.everything or self.merchants or self.machines)


NOTHING = Scope()
EVERYTHING = Scope(everything=True)


@dataclass(frozen=True)
class Person:
    """A user with a live session."""

    user_id: str
    email: str
    name: str
    session_id: str
    is_admin: bool = False
    held: tuple[Held, ...] = ()
    supported: frozenset[str] = frozenset()
    """Merchants at which this admin has a support access open now."""
    confirmed_at: datetime | None = None
    """When he last showed who he is: password and second factor."""
    has_second_factor: bool = False
    must_set_up: bool = False
    """He needs a second factor and has none yet: nothing else is open to him."""
    has_passkey: bool = False
    language: str = ""
    theme: str = ""
    address: str = field(default="", compare=False)
    browser: str = field(default="", compare=False)
    """His account's name for the browser he uses; "" for one it was never entered by."""

    def may(self, act: Act, merchant_id: str = "", device_uuid: str = "") -> bool:
        """Whether he may do this to something of that merchant's (of that machine's)."""
        if act in ANYBODYS:
            return True
        if self.is_admin:
            return act not in MONEY_ACTS or merchant_id in self.supported
        return self.scope(act).covers(merchant_id, device_uuid)

    def may_somewhere(self, act: Act) -> bool:
        """Whether there is anything he may do this to: what a menu shows."""
        return act in ANYBODYS or not self.scope(act).is_empty

    def scope(self, act: Act) -> Scope:
        """All he may do this to."""
        if self.is_admin:
            return Scope(self.supported) if act in MONEY_ACTS else EVERYTHING
        having = [one for one in self.held if one.allows(act)]
        return Scope(frozenset(one.merchant_id for one in having if one.machines is None), frozenset(_machines(having)))

    def roles(self, merchant_id: str) -> tuple[Role, ...]:
        return tuple(one.role for one in self.held if one.merchant_id == merchant_id and one.machines is None)

    def has_just_confirmed(self, now: datetime) -> bool:
        """Whether an act that asks for it may go on."""
        return self.confirmed_at is not None and now - self.confirmed_at <= CONFIRMED_FOR


def _machines(having: Iterable[Held]) -> Iterator[tuple[str, str]]:
    for one in having:
        for machine in one.machines or ():
            yield one.merchant_id, machine
