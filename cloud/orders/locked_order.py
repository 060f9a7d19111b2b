"""An order and what belongs to it: locked, read once a transaction, and written at its end, only what changed.

Everything that changes an order does so through its `LockedOrder`. The order's row is locked first, so that all
workers lock in the same order. Where a transaction does the work of many orders, each statement is about all of them.
An order that rests in the archive is brought back by whoever locks it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import and_, bindparam, or_, select

from cloud.database.base import Base
from cloud.database.plain_rows import kind_of, table_of
from cloud.database.storage import Question, named_by
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Drink
from cloud.orders import archive
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.outbox import OutboxRow

Part = TypeVar("Part", Payment, MakeCommand, OutboxRow, Movement)
_KEY = "order "


class UnknownOrder(LookupError):
    """No order has this id."""


_order, _payment, _command, _task = (table_of(kind) for kind in (Order, Payment, MakeCommand, OutboxRow))
_device, _movement = table_of(Device), table_of(Movement)
_drink = table_of(Drink)
_its_drink = and_(_drink.c.device_uuid == _order.c.device_uuid, _drink.c.drink_no == _order.c.drink_no)
_closed = or_(_device.c.status == "closed", _device.c.closed_since.is_not(None), _drink.c.closed_since.is_not(None))
_and_machine = _order.outerjoin(_device, _device.c.device_uuid == _order.c.device_uuid).outerjoin(_drink, _its_drink)
_with_machine = select(_order, _device.c.control, _closed).select_from(_and_machine)
_ORDERS = Question(Order, _with_machine.with_for_update(of=_order), _order.c.id)
# Locked as well: webhooks move a payment's date, workers claim a task, without holding the order.
_locked_payments, _locked_tasks = select(_payment).with_for_update(), select(_task).with_for_update()
_PARTS: dict[type[Base], Question] = {
    Payment: Question(Payment, _locked_payments, _payment.c.order_id, _payment.c.started_at, _payment.c.id),
    MakeCommand: Question(MakeCommand, select(_command), _command.c.order_id, _command.c.attempt),
    OutboxRow: Question(OutboxRow, _locked_tasks, _task.c.order_id, _task.c.id),
    Movement: Question(Movement, select(_movement), _movement.c.order_id, _movement.c.id),
}
_MOVEMENT = ("payment_id", "kind", "reference")
"""Names a row of the ledger."""
_ORDER_OF_PAYMENT = select(_payment.c.order_id).where(_payment.c.id == bindparam("id"))


@dataclass(eq=False)
class LockedOrder:
    """One locked order. Change its rows as you like: what changed is found and written with the transaction."""

    tx: Transaction
    order: Order
    control: str
    """Who drives the order's machine (`fleet.models.Device.control`); nothing where the machine is gone."""
    is_closed: bool
    """The order's machine, or this drink of it, is not sold now."""
    was_paid: bool
    """When this transaction read it. Before its first payment an order has no command and no movement."""
    _parts: dict[type[Base], list[Any]] = field(default_factory=dict)
    _added: dict[type[Base], list[Any]] = field(default_factory=dict)

    @property
    def payments(self) -> Sequence[Payment]:
        """Every payment of the order, oldest first, each locked."""
        return self._all(Payment)

    @property
    def commands(self) -> Sequence[MakeCommand]:
        """Every make command of the order, by attempt."""
        return self._all(MakeCommand)

    @property
    def tasks(self) -> Sequence[OutboxRow]:
        """Every task there ever was for this order, oldest first, each locked; `order_tasks.py` changes them."""
        return self._all(OutboxRow)

    @property
    def movements(self) -> Sequence[Movement]:
        """The order's rows of the ledger, oldest first."""
        return self._all(Movement)

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
        """One more row (`plain_rows.fresh`), written with the others."""
        self._add(row)

    def add_once(self, row: Movement) -> None:
        """One more row, unless the ledger holds this movement already."""
        self._add(row, once=True)

    def has_read(self, payment_id: str) -> bool:
        """Whether this transaction has read this payment of the order already."""
        return any(payment.id == payment_id for payment in self._parts.get(Payment, ()))

    def _add(self, row: Payment | MakeCommand | OutboxRow | OrderChange | Movement, *, once: bool = False) -> None:
        kind = kind_of(row)
        if once and any(_is_same(known, row) for known in self._parts.get(kind, ())):
            return
        self.tx.rows.add(row, once)
        self._added.setdefault(kind, []).append(row)
        if kind in self._parts:
            self._parts[kind].append(row)

    def _all(self, kind: type[Part]) -> list[Part]:
        if kind not in self._parts:
            self.tx.part(LockedOrders).read(kind)
        return self._parts[kind]

    def _take_in(self, kind: type[Part], row: Part) -> None:
        if any(_is_same(added, row) for added in self._added.get(kind, ())):
            return  # written by us a moment ago
        if named_by(kind):
            self.tx.rows.watch(row)
        self._parts[kind].append(row)


class LockedOrders:
    """All the orders one transaction has locked, each once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._locked: dict[str, LockedOrder] = {}

    def lock(self, order_id: str) -> LockedOrder:
        """The order; those of all work that shares the transaction are locked together. Raises `UnknownOrder`."""
        if order_id not in self._locked:
            theirs = {key.removeprefix(_KEY) for key in self._tx.keys if key.startswith(_KEY)}
            self._fetch({order_id} | theirs - self._locked.keys())
        if order_id not in self._locked and archive.bring_back(self._tx, [order_id]):
            self._fetch([order_id])
        if order_id not in self._locked:
            raise UnknownOrder(order_id)
        return self._locked[order_id]

    def lock_by_payment(self, payment_id: str) -> LockedOrder:
        """The order a payment belongs to. Raises `UnknownOrder`."""
        for locked in self._locked.values():
            if locked.has_read(payment_id):
                return locked
        order_id = self._tx.connection.execute(_ORDER_OF_PAYMENT, {"id": payment_id}).scalar()
        if order_id is None:
            order_id = next(iter(archive.bring_back_payments(self._tx, [payment_id])), None)
        if order_id is None:
            raise UnknownOrder(payment_id)
        return self.lock(order_id)

    def create(self, order: Order, control: str, *, is_closed: bool) -> LockedOrder:
        """A new order; nobody else sees it before the commit, which fails where its number is taken meanwhile."""
        self._tx.rows.add(order)
        locked = LockedOrder(self._tx, order, control, is_closed, was_paid=False)
        locked._parts.update({kind: [] for kind in _PARTS})
        self._locked[order.id] = locked
        return locked

    def read(self, kind: type[Part]) -> None:
        """Read what all of them hold of a kind."""
        lacking = {order_id: locked for order_id, locked in self._locked.items() if kind not in locked._parts}
        for locked in lacking.values():
            locked._parts[kind] = []
        needs_payment = issubclass(kind, MakeCommand)
        wanted = [order_id for order_id, locked in lacking.items() if locked.was_paid or not needs_payment]
        for (row,) in _PARTS[kind].ask(self._tx.connection, wanted):
            lacking[row.order_id]._take_in(kind, row)
        for locked in lacking.values():
            locked._parts[kind] += locked._added.get(kind, ())

    def _fetch(self, order_ids: Iterable[str]) -> None:
        for order, control, is_closed in _ORDERS.ask(self._tx.connection, sorted(order_ids)):
            self._tx.rows.watch(order)
            locked = LockedOrder(self._tx, order, control or "", bool(is_closed), order.paid_at is not None)
            self._locked[order.id] = locked


def lock_order(tx: Transaction, order_id: str) -> LockedOrder:
    """The order, held against other workers until this transaction ends. Raises `UnknownOrder`."""
    return tx.part(LockedOrders).lock(order_id)


def lock_order_of_payment(tx: Transaction, payment_id: str) -> tuple[LockedOrder, Payment]:
    """The order of a payment, and the payment. Raises `UnknownOrder`."""
    locked = tx.part(LockedOrders).lock_by_payment(payment_id)
    return locked, locked.payment(payment_id)


def order_key(order_id: str) -> str:
    """The `key` of `Database.transact` for work on one order: such work shares transactions."""
    return _KEY + order_id


def _is_same(one: Base, other: Base) -> bool:
    name = named_by(kind_of(one))
    names = [name] if name else _MOVEMENT
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _only(rows: Sequence[Part], key: str, what: str) -> Part:
    for row in rows:
        if row.id == key:
            return row
    raise LookupError(f"no {what} {key}")
