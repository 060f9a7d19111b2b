"""The call that carries out a task of the outbox, as bytes that are stored before they are sent."""

from urllib.parse import quote

from sqlalchemy import Connection

from cloud.orders.models import Order, Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Task
from cloud.payments.provider import InvalidRequest, NewPayment, Operation, PreparedCall, Provider
from cloud.payments.receipts import carried as receipts_carried


def prepare(
    connection: Connection, provider: Provider, row: OutboxRow, payment: Payment, order: Order, public_url: str,
    language: str = "",
) -> None:  # fmt: skip
    """Write the call into its row. `language`: of the page that a new payment is begun on. Raises `InvalidRequest`."""
    return_url = f"{public_url}{status_page_path(order.id, language)}"
    call = _call(connection, provider, row, payment, order, return_url)
    row.call_path, row.call_body = call.path, call.body


def prepared(row: OutboxRow) -> PreparedCall:
    """The call as it was first written: the same bytes under the same key, however often."""
    held_until = None if row.task == Task.CREATE else row.claimed_until  # an opening's lease is renewed meanwhile
    return PreparedCall(Operation(row.task), row.call_path, row.key, row.call_body or b"", held_until)


def status_page_path(order_id: str, language: str = "") -> str:
    """Where the buyer comes back to, in the language they chose; without one the browser's is taken there."""
    chosen = f"&lang={quote(language, safe='')}" if language else ""
    return f"/v1/order-status-page?order_id={quote(order_id, safe='')}{chosen}"


def _call(
    connection: Connection, provider: Provider, row: OutboxRow, payment: Payment, order: Order, return_url: str
) -> PreparedCall:
    provider_payment_id = payment.provider_payment_id or ""
    match Task(row.task):
        case Task.CREATE:
            return provider.prepare_create(_new_payment(connection, payment, order, return_url), row.key)
        case Task.CAPTURE:
            return provider.prepare_capture(provider_payment_id, row.key)
        case Task.CANCEL:
            return provider.prepare_cancel(provider_payment_id, row.key)
        case Task.REFUND:
            receipt = receipts_carried.for_refund(connection, payment, row.amount)
            words = f"Возврат по заказу {order.id}"[:250]
            return provider.prepare_refund(provider_payment_id, row.amount, row.key, words, receipt)
    raise InvalidRequest("task", f"{row.task} is nothing for a provider")


def _new_payment(connection: Connection, payment: Payment, order: Order, return_url: str) -> NewPayment:
    return NewPayment(
        order_id=order.id,
        device_uuid=order.device_uuid,
        payment=payment.id,
        amount=payment.amount,
        description=f"{order.drink_name}, заказ {order.id}"[:128],
        return_url=return_url,
        receipt=receipts_carried.for_payment(connection, payment),
        drink_no=order.drink_no,
        size=order.size,
    )
