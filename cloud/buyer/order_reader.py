"""Reads the `OrderView` of an order and the `DeviceView` of a machine from the database. Changes nothing.

An order that rests in the archive is brought back first.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from cloud.buyer.order_rows import OrderRow, OrderRows, OrderRowsReader
from cloud.buyer.order_view import DeviceView, OrderView, ReceiptView
from cloud.database.database import Database
from cloud.fleet import notes
from cloud.fleet.availability import CLOSED, closed_code
from cloud.fleet.models import NOTE_FIELDS, Control, Device
from cloud.fleet.qr_key import SIGNED
from cloud.fleet.receipt_terms import WITH_RECEIPT, EmailRule, email_rule
from cloud.orders import archive
from cloud.orders.money import PaymentState, paying_payment
from cloud.orders.return_progress import Return, Returned, refunded, return_progress
from cloud.orders.returned_by_hand import returned_by_hand
from cloud.orders.states import FAILURES, Event, Status
from cloud.orders.trusted_outcome import REASON as UNOBSERVABLE

REMEMBERED_NOTES = 512
"""A merchant's machines share them; cleaning one costs more than reading an order."""

clean = lru_cache(REMEMBERED_NOTES)(notes.clean)


class OrderReader:
    """Reads orders as their buyers may see them; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = OrderRowsReader(database)

    def find(self, order_id: str) -> OrderView | None:
        """The order as it is now; None when there is none."""
        rows = self._rows.find(order_id)
        if rows is None:
            if self._rests(order_id):
                self._database.transact(archive.bring_back, [order_id])
            rows = self._rows.find(order_id)  # somebody else may have brought it back meanwhile
        return None if rows is None else _view(rows, self._money_back(rows.order, rows))

    def _rests(self, order_id: str) -> bool:
        with self._database.read() as session:
            return archive.holds(session, order_id)

    def _money_back(self, order: OrderRow, rows: OrderRows) -> Return | None:
        payments: Mapping[str, Returned] = rows.payments
        back = return_progress(order, payments, rows.tasks)
        if back is not None or not refunded(payments):
            return back
        with self._database.read() as session:
            return returned_by_hand(session, payments)


def _view(rows: OrderRows, money_back: Return | None) -> OrderView:
    order, payments = rows.order, list(rows.payments.values())
    brought = [payment for payment in payments if payment.paid_at is not None]
    own = paying_payment(brought) or (brought[-1] if brought else None)
    told_of = rows.payments.get(money_back.payment_id, own) if money_back else own
    status = Status(order.status)
    return OrderView(
        order_id=order.id,
        version=order.version,
        status=status,
        stage=order.stage,
        progress=order.progress,
        reason=order.reason,
        uncertain=order.uncertain,
        drink_no=order.drink_no,
        drink_name=order.drink_name,
        size=order.size,
        price=order.price,
        expires_at=order.expires_at,
        due_at=order.due_at,
        return_after=order.return_after,
        accepted_at=order.accepted_at,
        payment_scenario=order.payment_scenario,
        was_begun=bool(payments),
        was_paid=own is not None,
        was_commanded=order.commands is not None,
        method=told_of.method if told_of else "",
        is_hold=told_of is not None and told_of.captured == 0,
        hold_is_gone=own is not None and own.state == PaymentState.CANCELED,
        cancel_reason=payments[-1].cancel_reason if payments else "",
        money_back=money_back,
        device=_device_view(
            rows.device_uuid,
            order.location,
            order.logo_url,
            order.machine_status,
            order.qr,
            rows.notes,
            order.zone,
            order.contact,
        ),
        receipt=_receipt(order),
        waits_for_person=order.waits_for_person,
        never_tells=_never_tells(order),
        contact=order.contact if status in FAILURES else "",
    )


def view_device(device: Device, contact: str = "") -> DeviceView:
    """The machine as pages and JSON may show it; `contact` is its merchant's address."""
    told = [getattr(device, name) for name in NOTE_FIELDS]
    status = closed_code(device, "") or device.status
    return _device_view(
        device.device_uuid, device.location, device.logo_url, status, device.qr, told, device.zone, contact
    )


def _device_view(
    device_uuid: str,
    location: str,
    logo_url: str,
    status: str,
    qr: str,
    told: Sequence[str | None],
    zone: str,
    contact: str,
) -> DeviceView:
    """Notes are cleaned once more, a logo comes only from the web."""
    cleaned = {name: clean(note) if note else "" for name, note in zip(NOTE_FIELDS, told, strict=True)}
    has_menu = status != CLOSED and qr != SIGNED
    return DeviceView(device_uuid, location, safe_logo(logo_url), cleaned, has_menu, zone, contact)


@lru_cache(REMEMBERED_NOTES)
def safe_logo(url: str) -> str:
    """The address if it is one of the web, else ""."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in {"https", "http"} and parts.netloc else ""


def _receipt(order: OrderRow) -> ReceiptView | None:
    if order.payment_scenario not in WITH_RECEIPT:
        return None
    rule = email_rule(order.receipt_terms)
    return ReceiptView(rule is EmailRule.REQUIRED, order.has_email > 0, order.receipt_state or "")


def _never_tells(order: OrderRow) -> bool:
    """An order that was sent to such a machine, until somebody says better."""
    if order.control == Control.TMETR_API:
        return order.status == Status.MAKE_PENDING or order.reason == Event.NO_ACK
    return order.reason == UNOBSERVABLE
