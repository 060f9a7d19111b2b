"""What the database holds of one order, for its buyer: one statement, one trip, each row read once. Changes nothing."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, and_, bindparam, func, select
from sqlalchemy.orm import QueryableAttribute

from cloud.database.database import Database
from cloud.database.prepared_read import PreparedRead
from cloud.fleet.models import NOTE_FIELDS, Credential, Device, Merchant
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.receipts import Receipt
from cloud.orders.tasks import RETURNS


class OrderRow(NamedTuple):
    """The order with its machine, its merchant, its newest command and receipt."""

    id: str
    version: int
    status: str
    stage: str
    progress: int
    reason: str
    uncertain: bool
    drink_no: str
    drink_name: str
    size: int
    price: int
    expires_at: datetime
    due_at: datetime | None
    return_after: datetime | None
    given_back: int
    payment_scenario: str
    waits_for_person: bool
    contact: str
    control: str
    machine_status: str
    qr: str
    location: str
    zone: str
    """The time of its place; empty: Moscow's."""
    logo_url: str
    receipt_terms: dict[str, Any] | None
    receipt_state: str | None
    has_email: int
    commands: int | None
    """The newest command's number."""
    accepted_at: datetime | None


class PaymentRow(NamedTuple):
    """One of its payments."""

    id: str
    state: str
    method: str
    cancel_reason: str
    captured: int
    refunded: int
    problem: str
    paid_at: datetime | None


class TaskRow(NamedTuple):
    """A task that gives money of one payment back."""

    id: int
    task: str
    subject: str
    amount: int
    attempts: int
    due_at: datetime
    first_tried_at: datetime | None
    verdict: str


class OrderRows(NamedTuple):
    """All of it; payments and tasks from the oldest on."""

    order: OrderRow
    device_uuid: str
    notes: tuple[str | None, ...]
    payments: dict[str, PaymentRow]
    tasks: list[TaskRow]


_Selected = QueryableAttribute[Any] | ColumnElement[Any]
_command = select(MakeCommand).where(MakeCommand.order_id == Order.id)
_newest = _command.order_by(MakeCommand.attempt.desc()).limit(1).correlate(Order)
_receipt = select(Receipt).where(Receipt.order_id == Order.id).order_by(Receipt.id.desc()).limit(1).correlate(Order)
_FROM_ELSEWHERE: dict[str, _Selected] = {
    "contact": Merchant.contact_email,
    "control": Device.control,
    "machine_status": Device.status,
    "qr": Device.qr,
    "location": Device.location,
    "zone": Device.zone,
    "logo_url": Device.logo_url,
    "receipt_terms": Credential.receipt,
    "receipt_state": _receipt.with_only_columns(Receipt.state).scalar_subquery(),
    "has_email": select(func.count()).where(Receipt.order_id == Order.id, Receipt.email != "").scalar_subquery(),
    "commands": _newest.with_only_columns(MakeCommand.attempt).scalar_subquery(),
    "accepted_at": _newest.with_only_columns(MakeCommand.accepted_at).scalar_subquery(),
}
_OF_ORDER = [_FROM_ELSEWHERE[name] if name in _FROM_ELSEWHERE else getattr(Order, name) for name in OrderRow._fields]
_OF_DEVICE = [Device.device_uuid, *(getattr(Device, name) for name in NOTE_FIELDS)]
_OF_PAYMENT = [getattr(Payment, name) for name in PaymentRow._fields]
_OF_TASK = [getattr(OutboxRow, name) for name in TaskRow._fields]
_DEVICE = len(_OF_ORDER)
_PAYMENT = _DEVICE + len(_OF_DEVICE)
_TASK = _PAYMENT + len(_OF_PAYMENT)


def _statement() -> Select[*tuple[Any, ...]]:
    """A row for each of its payments, and for each task of one; with neither, one row."""
    its_account = and_(Credential.merchant_id == Order.merchant_id, Credential.scenario == Order.payment_scenario)
    gives_back = and_(
        OutboxRow.order_id == Order.id, OutboxRow.subject == Payment.id, OutboxRow.task.in_(sorted(RETURNS))
    )
    return (
        select(*_OF_ORDER, *_OF_DEVICE, *_OF_PAYMENT, *_OF_TASK)
        .select_from(Order)
        .join(Device, Device.device_uuid == Order.device_uuid)
        .join(Merchant, Merchant.id == Order.merchant_id)
        .outerjoin(Credential, its_account)
        .outerjoin(Payment, Payment.order_id == Order.id)
        .outerjoin(OutboxRow, gives_back)
        .where(Order.id == bindparam("order_id", "", type_=String()))
        .order_by(Payment.started_at, OutboxRow.id)
    )


class OrderRowsReader:
    """Reads them; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._read = PreparedRead(database.engine, _statement())

    def find(self, order_id: str) -> OrderRows | None:
        """The order as it is now; None when there is none."""
        rows = self._read.all(order_id=order_id)
        if not rows:
            return None
        device_uuid, *notes = rows[0][_DEVICE:_PAYMENT]
        payments = [PaymentRow._make(row[_PAYMENT:_TASK]) for row in rows if row[_PAYMENT] is not None]
        tasks = sorted(TaskRow._make(row[_TASK:]) for row in rows if row[_TASK] is not None)
        order = OrderRow._make(rows[0][:_DEVICE])
        return OrderRows(order, device_uuid, tuple(notes), {payment.id: payment for payment in payments}, tasks)
