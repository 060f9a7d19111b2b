"""An order and what belongs to it, read once and written once a transaction: one statement a kind, only what changed.

The order's row is locked first, so that all workers lock in the same order. What is read here is untracked by the
session: whoever also looks through the session sees what `write` has written, and nothing before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Insert, Select, Update, bindparam, insert, select, update
from sqlalchemy.orm import Session

from cloud.commits import before_commit
from cloud.db import Base
from cloud.fleet.models import Device
from cloud.orders.models import MakeCommand, Order, OrderChange, Payment
from cloud.rows import plain, table_of, together

Row = TypeVar("Row", bound=Base)
_OPEN = "dockets"
_PK = "pk_of_row"


class UnknownOrder(LookupError):
    """No order has this id."""


_order, _payment, _command = table_of(Order), table_of(Payment), table_of(MakeCommand)
_id: BindParameter[str] = bindparam("id")
_control = select(Device.control).where(Device.device_uuid == _order.c.device_uuid).scalar_subquery()
_ORDER = select(_order, _control.label("control")).with_for_update(of=_order)
_BY_ORDER = _ORDER.where(_order.c.id == _id)
_BY_PAYMENT = _ORDER.where(_order.c.id == select(_payment.c.order_id).where(_payment.c.id == _id).scalar_subquery())
# The payment's row too: a webhook asks for a check without holding the order.
_PAYMENTS = select(_payment).where(_payment.c.order_id == _id).order_by(_payment.c.started_at, _payment.c.id)
_PAYMENTS_HELD = _PAYMENTS.with_for_update()
_COMMANDS = select(_command).where(_command.c.order_id == _id).order_by(_command.c.attempt)


@dataclass
class Docket:
    """One locked order. Change its rows as you like: `write`, called before the commit, finds what changed."""

    session: Session
    order: Order
    control: str
    """Who drives the order's machine (`fleet.models.Device.control`); nothing where the machine is gone."""
    _payments: list[Payment] | None = None
    _commands: list[MakeCommand] | None = None
    _read: list[tuple[Base, dict[str, Any]]] = field(default_factory=list)
    """Each row that is in the database, and what it holds there."""
    _new: list[Base] = field(default_factory=list)

    @property
    def payments(self) -> Sequence[Payment]:
        """Every payment of the order, oldest first, each locked."""
        if self._payments is None:
            self._payments = self._fetch(Payment, _PAYMENTS_HELD)
        return self._payments

    @property
    def payments_read(self) -> Sequence[Payment]:
        """Those of `payments` that this transaction has read already."""
        return self._payments or ()

    @property
    def commands(self) -> Sequence[MakeCommand]:
        """Every make command of the order, by attempt. Before its first payment an order has none."""
        if self._commands is None:
            was_paid = self._read[0][1]["paid_at"] is not None  # the order itself is the first row read
            self._commands = self._fetch(MakeCommand, _COMMANDS) if was_paid else []
        return self._commands

    @property
    def live_command(self) -> MakeCommand | None:
        """The one whose outcome is awaited."""
        return next((command for command in self.commands if command.live), None)

    def payment(self, payment_id: str) -> Payment:
        """One payment of this order. Raises `LookupError`."""
        return _only(self.payments, payment_id, "payment")

    def command(self, command_id: str) -> MakeCommand:
        """One command of this order. Raises `LookupError`."""
        return _only(self.commands, command_id, "command")

    def add(self, row: Payment | MakeCommand | OrderChange) -> None:
        """One more row (`db.fresh`), written with the others."""
        if isinstance(row, Payment):
            self._payments = [*self.payments, row]
        elif isinstance(row, MakeCommand):
            self._commands = [*self.commands, row]
        self._new.append(row)

    def write(self) -> None:
        """Write what was changed and added so far. Raises `IntegrityError` for what the database will not hold."""
        connection = self.session.connection()
        with together(connection):
            self._write(connection)

    def _write(self, connection: Connection) -> None:
        for place, (row, before) in enumerate(self._read):
            now = row.__dict__
            changed = {name: now[name] for name, value in before.items() if now[name] != value}
            if changed:
                connection.execute(_update(type(row), tuple(changed)), {_PK: before["id"], **changed})
                self._read[place] = (row, before | changed)
        for kind in dict.fromkeys(type(row) for row in self._new):
            rows = [row for row in self._new if type(row) is kind]
            columns = _columns(kind)
            values = [{name: row.__dict__[name] for name in columns} for row in rows]
            connection.execute(_insert(kind), values if len(values) > 1 else values[0])
            if kind is not OrderChange:
                self._read += list(zip(rows, values, strict=True))
        self._new.clear()

    def _fetch(self, kind: type[Row], statement: Select[Any]) -> list[Row]:
        return [self._keep(kind, row) for row in self.session.connection().execute(statement, {"id": self.order.id})]

    def _keep(self, kind: type[Row], found: Any) -> Row:
        values = dict(found._mapping)
        row = plain(kind, values)
        self._read.append((row, values))
        return row


def open_docket(session: Session, order_id: str) -> Docket:
    """The order's docket, held against other workers until this transaction ends. Raises `UnknownOrder`."""
    return _dockets(session).get(order_id) or _open(session, _BY_ORDER, order_id)


def key_of(order_id: str) -> str:
    """The docket's name for `Database.write_soon`: what is put by about one order shares its docket."""
    return f"order {order_id}"


def docket_of_payment(session: Session, payment_id: str) -> tuple[Docket, Payment]:
    """The docket a payment is in, and the payment. Raises `UnknownOrder`."""
    for docket in _dockets(session).values():
        for payment in docket.payments_read:
            if payment.id == payment_id:
                return docket, payment
    docket = _open(session, _BY_PAYMENT, payment_id)
    return docket, docket.payment(payment_id)


def _open(session: Session, statement: Select[Any], key: str) -> Docket:
    found = session.connection().execute(statement, {"id": key}).first()
    if found is None:
        raise UnknownOrder(key)
    opened = _dockets(session)
    if found.id not in opened:
        values = dict(found._mapping)
        control = values.pop("control") or ""
        order = plain(Order, values)
        docket = Docket(session, order, control, _read=[(order, values)])
        opened[found.id] = docket
        before_commit(session, docket.write)
    return opened[found.id]


def _dockets(session: Session) -> dict[str, Docket]:
    """Those this transaction has opened, by order."""
    opened: dict[str, Docket] = session.info.setdefault(_OPEN, {})
    return opened


def _only(rows: Sequence[Row], key: str, what: str) -> Row:
    for row in rows:
        if row.__dict__["id"] == key:
            return row
    raise LookupError(f"no {what} {key}")


@cache
def _columns(kind: type[Base]) -> tuple[str, ...]:
    """All but the number the database counts up by itself."""
    return tuple(column.key for column in table_of(kind).columns if column.autoincrement is not True)


@cache
def _insert(kind: type[Base]) -> Insert:
    return insert(table_of(kind)).inline()  # nobody asks for the number it gets


@cache
def _update(kind: type[Base], names: tuple[str, ...]) -> Update:
    table = table_of(kind)
    changed = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return update(table).where(table.c.id == bindparam(_PK)).values(changed)
