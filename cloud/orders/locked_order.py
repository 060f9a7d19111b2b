"""An order and what belongs to it, read once and written once a transaction: one statement a kind, only what changed.

The order's row is locked first, so that all workers lock in the same order. Where a transaction does the work of many
orders, each statement is about all of them. What is read here is untracked by the session: whoever also looks through
the session sees what `write` has written, and nothing before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Row, Select, bindparam, select
from sqlalchemy.orm import Session

from cloud.database import bulk_write
from cloud.database.bulk_write import Changes
from cloud.database.database import Base
from cloud.database.group_commit import before_commit, coming
from cloud.database.plain_rows import plain, table_of
from cloud.fleet.models import Device
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.outbox import OutboxRow

Part = TypeVar("Part", Payment, MakeCommand, OutboxRow)
_SHELF = "dockets"
_KEY = "order "


class UnknownOrder(LookupError):
    """No order has this id."""


class _Question(NamedTuple):
    """The same about one order and about many."""

    of_one: Select[Any]
    of_many: Select[Any]


def _about(asked: Select[Any], order_id: ColumnElement[str]) -> _Question:
    asked = asked.order_by(order_id)
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    return _Question(asked.where(order_id == bindparam("id")), asked.where(order_id.in_(ids)))


_order, _payment, _command, _promise = (table_of(kind) for kind in (Order, Payment, MakeCommand, OutboxRow))
_of_machine = Device.device_uuid == _order.c.device_uuid
_control = select(Device.control).where(_of_machine).scalar_subquery()
_closed = select(Device.status == "closed").where(_of_machine).scalar_subquery()
_ORDERS = _about(
    select(_order, _control.label("control"), _closed.label("closed")).with_for_update(of=_order), _order.c.id
)
# Locked as well: webhooks move a payment's date, workers take a promise, without holding the order.
_PAYMENTS = _about(select(_payment).with_for_update(), _payment.c.order_id)
_PROMISES = _about(select(_promise).with_for_update(), _promise.c.order_id)
_COMMANDS = _about(select(_command), _command.c.order_id)
_PARTS: dict[type[Base], _Question] = {
    Payment: _Question(*(asked.order_by(_payment.c.started_at, _payment.c.id) for asked in _PAYMENTS)),
    MakeCommand: _Question(*(asked.order_by(_command.c.attempt) for asked in _COMMANDS)),
    OutboxRow: _Question(*(asked.order_by(_promise.c.id) for asked in _PROMISES)),
}
_ORDER_OF_PAYMENT = select(_payment.c.order_id).where(_payment.c.id == bindparam("id"))


@dataclass(eq=False)
class Docket:
    """One locked order. Change its rows as you like: what changed is found and written before the commit."""

    session: Session
    order: Order
    control: str
    """Who drives the order's machine (`fleet.models.Device.control`); nothing where the machine is gone."""
    is_closed: bool
    """The order's machine sells nothing now."""
    was_paid: bool
    """When this transaction read it. Before its first payment an order has no command."""
    _shelf: "_Shelf"
    _changes: Changes = field(default_factory=Changes)
    _parts: dict[type[Base], list[Any]] = field(default_factory=dict)
    _added: list[Base] = field(default_factory=list)

    @property
    def payments(self) -> Sequence[Payment]:
        """Every payment of the order, oldest first, each locked."""
        return self._all(Payment)

    @property
    def payments_read(self) -> Sequence[Payment]:
        """Those of `payments` that this transaction has read already."""
        return self._parts.get(Payment, ())

    @property
    def commands(self) -> Sequence[MakeCommand]:
        """Every make command of the order, by attempt."""
        return self._all(MakeCommand)

    @property
    def promises(self) -> Sequence[OutboxRow]:
        """Everything that was promised for this order, oldest first, each locked; `orders/promises.py` changes them."""
        return self._all(OutboxRow)

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

    def add(self, row: Payment | MakeCommand | OutboxRow | OrderChange) -> None:
        """One more row (`rows.fresh`), written with the others."""
        self._changes.add(row)
        self._added.append(row)
        if type(row) in self._parts:
            self._parts[type(row)].append(row)

    def add_once(self, row: Movement) -> None:
        """One more row, unless the ledger holds this movement already."""
        self._changes.add(row, once=True)

    def write(self) -> None:
        """Write what was changed and added so far. Raises `IntegrityError` for what the database will not hold."""
        bulk_write.write(self.session.connection(), [self._changes])

    def _all(self, kind: type[Part]) -> list[Part]:
        if kind not in self._parts:
            self._shelf.read(kind)
        return self._parts[kind]

    def _take_in(self, kind: type[Part], found: Row[Any]) -> None:
        values = dict(found._mapping)
        name = bulk_write.named_by(kind)
        if any(type(row) is kind and row.__dict__[name] == values[name] for row in self._added):
            return  # written by us a moment ago
        row = plain(kind, values)
        self._changes.watch(row, values)
        self._parts[kind].append(row)


@dataclass(eq=False)
class _Shelf:
    """All the dockets of one transaction."""

    session: Session
    open: dict[str, Docket] = field(default_factory=dict)
    """By order."""

    def fetch(self, order_ids: Iterable[str]) -> None:
        """Lock and read those of these orders that exist."""
        for found in self._ask(_ORDERS, sorted(order_ids)):
            values = dict(found._mapping)
            control = values.pop("control") or ""
            is_closed, was_paid = bool(values.pop("closed")), values["paid_at"] is not None
            docket = Docket(self.session, plain(Order, values), control, is_closed, was_paid, self)
            docket._changes.watch(docket.order, values)
            self.open[docket.order.id] = docket

    def read(self, kind: type[Part]) -> None:
        """Read what all of them hold of a kind."""
        lacking = {order_id: docket for order_id, docket in self.open.items() if kind not in docket._parts}
        for docket in lacking.values():
            docket._parts[kind] = []
        is_of_paid = issubclass(kind, MakeCommand)
        wanted = [order_id for order_id, docket in lacking.items() if docket.was_paid or not is_of_paid]
        for found in self._ask(_PARTS[kind], wanted):
            lacking[found.order_id]._take_in(kind, found)
        for docket in lacking.values():
            docket._parts[kind] += [row for row in docket._added if type(row) is kind]

    def write(self) -> None:
        """All that was changed, of all of them."""
        bulk_write.write(self.session.connection(), [docket._changes for docket in self.open.values()])

    def _ask(self, question: _Question, ids: Sequence[str]) -> Sequence[Row[Any]]:
        connection = self.session.connection()
        if len(ids) <= 1:
            return connection.execute(question.of_one, {"id": ids[0]}).all() if ids else ()
        as_many = 1 << (len(ids) - 1).bit_length()  # few different statements, so that each stays prepared
        padded = [*ids, *[ids[-1]] * (as_many - len(ids))]
        return connection.execute(question.of_many, {"ids": padded}).all()


def open_docket(session: Session, order_id: str) -> Docket:
    """The order's docket, held against other workers until this transaction ends. Raises `UnknownOrder`.

    The orders of all work that shares the transaction are opened together.
    """
    shelf = _shelf(session)
    if order_id not in shelf.open:
        theirs = {key.removeprefix(_KEY) for key in coming(session) if key.startswith(_KEY)}
        shelf.fetch({order_id} | theirs - shelf.open.keys())
    if order_id not in shelf.open:
        raise UnknownOrder(order_id)
    return shelf.open[order_id]


def key_of(order_id: str) -> str:
    """The docket's name for `Database.write_soon` and `write_together`: work of one order shares its docket."""
    return _KEY + order_id


def docket_of_payment(session: Session, payment_id: str) -> tuple[Docket, Payment]:
    """The docket a payment is in, and the payment. Raises `UnknownOrder`."""
    for docket in _shelf(session).open.values():
        for payment in docket.payments_read:
            if payment.id == payment_id:
                return docket, payment
    order_id = session.connection().execute(_ORDER_OF_PAYMENT, {"id": payment_id}).scalar()
    if order_id is None:
        raise UnknownOrder(payment_id)
    docket = open_docket(session, order_id)
    return docket, docket.payment(payment_id)


def _shelf(session: Session) -> _Shelf:
    """This transaction's."""
    shelf: _Shelf | None = session.info.get(_SHELF)
    if shelf is None:
        shelf = session.info[_SHELF] = _Shelf(session)
        before_commit(session, shelf.write)
    return shelf


def _only(rows: Sequence[Part], key: str, what: str) -> Part:
    for row in rows:
        if row.__dict__["id"] == key:
            return row
    raise LookupError(f"no {what} {key}")
