"""Reads the `OrderView` of an order and the `DeviceView` of a machine from the database. Changes nothing."""

from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.order_view import NOBODY, DeviceView, OrderView, Queue, ReceiptView
from cloud.buyer.reservation import queue_before
from cloud.fleet.availability import CLOSED, obstacle
from cloud.fleet.models import NOTE_FIELDS, Credential, Device, DeviceLive, Merchant
from cloud.fleet.notes import clean
from cloud.fleet.qr_key import SIGNED
from cloud.fleet.receipt_terms import WITH_RECEIPT, EmailRule, email_rule
from cloud.fleet.silence import OVER_TMETR
from cloud.orders import receipts
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.owed_tasks import return_of
from cloud.orders.states import PAYABLE, Event, Status
from cloud.orders.trusted_outcome import REASON as UNOBSERVABLE

FAILURES = frozenset({Status.FAILED, Status.MAKE_FAILED})


def load_order(session: Session, order_id: str, brew_times: BrewTimeEstimates, now: datetime) -> OrderView | None:
    """The order as it is now; None when there is none."""
    order = session.get(Order, order_id)
    if order is None:
        return None
    device = session.get_one(Device, order.device_uuid)
    payments = session.scalars(select(Payment).where(Payment.order_id == order_id).order_by(Payment.started_at)).all()
    paying = next((p for p in reversed(payments) if p.paid_at is not None), None)
    commands = session.scalars(select(MakeCommand).where(MakeCommand.order_id == order_id)).all()
    status = Status(order.status)
    return OrderView(
        order_id=order.id,
        version=order.version,
        status=status,
        stage=order.stage,
        progress=order.progress,
        reason=order.reason,
        uncertain=order.uncertain,
        drink_name=order.drink_name,
        size=order.size,
        price=order.price,
        expires_at=order.expires_at,
        due_at=order.due_at,
        return_after=order.return_after,
        ready_by=_ready_by(session, order, commands[-1] if commands else None, brew_times, now),
        payment_scenario=order.payment_scenario,
        was_paid=paying is not None,
        was_commanded=bool(commands),
        method=paying.method if paying else "",
        is_hold=paying is not None and paying.captured == 0,
        hold_is_gone=paying is not None and paying.state == PaymentState.CANCELED,
        cancel_reason=payments[-1].cancel_reason if payments else "",
        money_back=return_of(session, order),
        obstacle=_obstacle(session, device, order),
        device=view_device(device),
        receipt=_receipt(session, order),
        queue=_queue(session, order, brew_times, now),
        waits_for_person=order.waits_for_person,
        never_tells=_never_tells(device, order),
        contact=session.get_one(Merchant, order.merchant_id).contact_email if status in FAILURES else "",
    )


def view_device(device: Device) -> DeviceView:
    """The machine as pages and JSON may show it: notes cleaned once more, a logo only from the web."""
    notes = {name: clean(getattr(device, name) or "") for name in NOTE_FIELDS}
    has_menu = device.status != CLOSED and device.qr != SIGNED
    return DeviceView(device.device_uuid, device.location, safe_logo(device.logo_url), notes, has_menu)


def safe_logo(url: str) -> str:
    """The address if it is one of the web, else ""."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in {"https", "http"} and parts.netloc else ""


def _receipt(session: Session, order: Order) -> ReceiptView | None:
    if order.payment_scenario not in WITH_RECEIPT:
        return None
    credential = session.get(Credential, (order.merchant_id, order.payment_scenario))
    rule = email_rule(credential.receipt if credential is not None else None)
    known = receipts.remembered_email(session, order.id) != ""
    return ReceiptView(rule is EmailRule.REQUIRED, known, receipts.state_of(session, order.id))


def _never_tells(device: Device, order: Order) -> bool:
    """An order that was sent to such a machine, until somebody says better."""
    if device.control == OVER_TMETR:
        return order.status == Status.MAKE_PENDING or order.reason == Event.NO_ACK
    return order.reason == UNOBSERVABLE


def _obstacle(session: Session, device: Device, order: Order) -> str:
    if Status(order.status) not in PAYABLE | {Status.MANUAL_MAKE}:
        return ""
    return obstacle(device, session.get(DeviceLive, device.device_uuid), order.drink_no, order.id)


def _queue(session: Session, order: Order, brew_times: BrewTimeEstimates, now: datetime) -> Queue:
    """Once the machine has accepted the order, it is next."""
    waits = order.status == Status.PAID or (order.status == Status.MAKE_PENDING and order.stage in {"", "sent"})
    return queue_before(session, order, brew_times, now) if waits else NOBODY


def _ready_by(
    session: Session, order: Order, command: MakeCommand | None, brew_times: BrewTimeEstimates, now: datetime
) -> datetime | None:
    if order.status != Status.MAKE_PENDING or command is None or command.accepted_at is None:
        return None
    takes = brew_times.of(session, order, now)
    return command.accepted_at + takes if takes is not None else None
