"""An order and what belongs to it: locked, read once a transaction, and written at its end, only what changed.

Everything that changes an order does so through its `LockedOrder`. The order's row is locked first, so that all
workers lock in the same order. Where a transaction does the work of many orders, each statement is about all of them.
Locking an order that rests in the archive brings it back.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Select, and_, bindparam, select

from cloud.database.base import Base
from cloud.database.plain_rows import table_of
from cloud.database.storage import RowsByKey
from cloud.database.transaction import Transaction
from cloud.fleet.availability import IS_CLOSED
from cloud.fleet.models import Device, Drink
from cloud.orders import archive
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.outbox import OutboxRow

_KEY = "order "
Owned = TypeVar("Owned", Payment, MakeCommand, OutboxRow, Movement)


class UnknownOrder(LookupError):
    """No order has this id."""


_order, _payment, _command, _task = (table_of(kind) for kind in (Order, Payment, MakeCommand, OutboxRow))
_device, _movement = table_of(Device), table_of(Movement)
_drink = table_of(Drink)
_its_drink = and_(_drink.c.device_uuid == _order.c.device_uuid, _drink.c.drink_no == _order.c.drink_no)
_and_machine = _order.outerjoin(_device, _device.c.device_uuid == _order.c.device_uuid).outerjoin(_drink, _its_drink)
_with_machine = select(_order, _device.c.control, IS_CLOSED).select_from(_and_machine)
_ORDERS = RowsByKey(Order, _with_machine.with_for_update(of=_order), _order.c.id)
# Locked as well: webhooks move a payment's date, workers claim a task, without holding the order.
_locked_payments, _locked_tasks = select(_payment).with_for_update(), select(_task).with_for_update()
_ORDER_OF_PAYMENT = select(_payment.c.order_id).where(_payment.c.id == bindparam("id"))


class OwnedRows(Generic[Owned]):
    """Rows of one table that belong to an order: read when first asked for, then a list of the `LockedOrder`."""

    name: str

    def __init__(
        self, kind: type[Owned], statement: Select[Any], order_by: Sequence[Column[Any]], *, tell_apart: Sequence[str],
        once_paid: bool = False,
    ) -> None:  # fmt: skip
        self.by_order: RowsByKey[Owned] = RowsByKey(kind, statement, table_of(kind).c.order_id, *order_by)
        self.once_paid = once_paid
        """There is none before the first payment."""
        self.tell_apart = attrgetter(*tell_apart)
        """What only the same row has."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, locked: "LockedOrder", owner: type) -> list[Owned]:
        """Read the rows of every order that this transaction has locked and that lacks them; each gets its list.

        A non-data descriptor (it has no `__set__`): once `vars(order)` holds the list under this name, Python finds
        that and calls this no more.
        """
        lacking = {one.order.id: one for one in locked.together.by_id.values() if self.name not in vars(one)}
        found: dict[str, list[Owned]] = {order_id: [] for order_id in lacking}
        wanted = [order_id for order_id, one in lacking.items() if one.was_paid or not self.once_paid]
        for row, _ in locked.tx.rows.read(self.by_order, wanted):
            found[row.order_id].append(row)
        for order_id, one in lacking.items():
            added = [row for row in one.added if isinstance(row, self.by_order.row_class)]
            ours = {self.tell_apart(row) for row in added}  # that may have been written a moment ago
            vars(one)[self.name] = [row for row in found[order_id] if self.tell_apart(row) not in ours] + added
        rows: list[Owned] = vars(locked)[self.name]
        return rows


@dataclass(eq=False)
class LockedOrder:
    """One locked order. Change its rows as you like: what changed is found and written with the transaction."""

    tx: Transaction
    together: "LockedOrders"
    """All that its transaction has locked, itself among them."""
    order: Order
    control: str
    """What drives the order's machine (`fleet.models.Device.control`); nothing where the machine is gone."""
    is_closed: bool
    """The order's machine, or this drink of it, is not sold now. False of an order just created.

    It is asked where money arrives, which is never in the transaction that creates the order.
    """
    was_paid: bool
    """When this transaction read it."""
    added: list[Base] = field(default_factory=list)
    """New rows of kinds that are not read yet."""

    payments = OwnedRows(Payment, _locked_payments, (_payment.c.started_at, _payment.c.id), tell_apart=["id"])
    """Every payment of the order, oldest first, each locked."""
    commands = OwnedRows(MakeCommand, select(_command), (_command.c.attempt,), tell_apart=["id"], once_paid=True)
    """Every make command of the order, by attempt."""
    tasks = OwnedRows(OutboxRow, _locked_tasks, (_task.c.id,), tell_apart=["key"])
    """Every task there ever was for this order, oldest first, each locked; `order_tasks.py` changes them."""
    movements = OwnedRows(
        Movement, select(_movement), (_movement.c.id,), tell_apart=["payment_id", "kind", "reference"]
    )
    """The order's rows of the ledger, oldest first."""

    @property
    def live_command(self) -> MakeCommand | None:
        """The one whose outcome is awaited."""
        return next((command for command in self.commands if command.live), None)

    def payment(self, payment_id: str) -> Payment:
        """One payment of this order. Raises `LookupError`."""
        for payment in self.payments:
            if payment.id == payment_id:
                return payment
        raise LookupError(f"no payment {payment_id}")

    def command(self, command_id: str) -> MakeCommand:
        """One command of this order. Raises `LookupError`."""
        for command in self.commands:
            if command.id == command_id:
                return command
        raise LookupError(f"no command {command_id}")

    def add(self, row: Payment | MakeCommand | OutboxRow | OrderChange | Movement, *, once: bool = False) -> None:
        """One more row (`plain_rows.fresh`), written with the others. `once`: unless it is there already."""
        kind = _KINDS.get(type(row))
        if kind is not None:
            known: list[Base] = vars(self).get(kind.name, self.added)
            its = kind.tell_apart(row)
            if once and any(isinstance(other, type(row)) and kind.tell_apart(other) == its for other in known):
                return
            known.append(row)
        self.tx.rows.add(row, once)


_KINDS: dict[type, OwnedRows[Any]] = {
    kind.by_order.row_class: kind for kind in vars(LockedOrder).values() if isinstance(kind, OwnedRows)
}


class LockedOrders:
    """All the orders one transaction has locked, each once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.by_id: dict[str, LockedOrder] = {}
        """Those that are locked, by their orders' ids."""

    def lock(self, order_id: str) -> LockedOrder:
        """The order; those of all work that shares the transaction are locked together. Raises `UnknownOrder`."""
        if order_id not in self.by_id:
            theirs = {key.removeprefix(_KEY) for key in self._tx.keys if key.startswith(_KEY)}
            self._fetch({order_id} | theirs - self.by_id.keys())
        if order_id not in self.by_id:
            archive.bring_back(self._tx, [order_id])
            self._fetch([order_id])  # another holder of its lock may have brought it back meanwhile
        if order_id not in self.by_id:
            raise UnknownOrder(order_id)
        return self.by_id[order_id]

    def lock_by_payment(self, payment_id: str) -> tuple[LockedOrder, Payment]:
        """The order a payment belongs to, and the payment. Raises `UnknownOrder`."""
        for locked in self.by_id.values():
            for payment in vars(locked).get("payments", ()):
                if payment.id == payment_id:
                    return locked, payment
        order_id = self._tx.connection.execute(_ORDER_OF_PAYMENT, {"id": payment_id}).scalar()
        if order_id is None:
            archive.bring_back_payments(self._tx, [payment_id])  # or another process has meanwhile
            order_id = self._tx.connection.execute(_ORDER_OF_PAYMENT, {"id": payment_id}).scalar()
        if order_id is None:
            raise UnknownOrder(payment_id)
        locked = self.lock(order_id)
        return locked, locked.payment(payment_id)

    def create(self, order: Order, control: str) -> LockedOrder:
        """A new order; nobody else sees it before the commit, which fails where its id is taken meanwhile."""
        self._tx.rows.add(order)
        locked = LockedOrder(self._tx, self, order, control, is_closed=False, was_paid=False)
        vars(locked).update({kind.name: [] for kind in _KINDS.values()})
        self.by_id[order.id] = locked
        return locked

    def _fetch(self, order_ids: Iterable[str]) -> None:
        for order, (control, is_closed) in self._tx.rows.read(_ORDERS, sorted(order_ids)):
            locked = LockedOrder(self._tx, self, order, control or "", bool(is_closed), order.paid_at is not None)
            self.by_id[order.id] = locked


def lock_order(tx: Transaction, order_id: str) -> LockedOrder:
    """The order, held against other workers until this transaction ends. Raises `UnknownOrder`."""
    return tx.part(LockedOrders).lock(order_id)


def lock_order_of_payment(tx: Transaction, payment_id: str) -> tuple[LockedOrder, Payment]:
    """The order of a payment, and the payment. Raises `UnknownOrder`."""
    return tx.part(LockedOrders).lock_by_payment(payment_id)


def held_elsewhere(tx: Transaction, order_ids: Collection[str]) -> set[str]:
    """Those that somebody else holds at this moment, found without waiting for any; orders at rest nobody holds."""
    asked = select(_order.c.id).where(_order.c.id.in_(order_ids))
    free = set(tx.connection.execute(asked.with_for_update(skip_locked=True)).scalars())
    return set(tx.connection.execute(asked).scalars()) - free


def order_key(order_id: str) -> str:
    """The `key` of `Database.transact` for work on one order: such work shares transactions."""
    return _KEY + order_id
