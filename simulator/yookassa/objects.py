"""Draws payments, refunds, receipts, lists and notifications as the JSON objects of the API. Decides nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from simulator.yookassa.books import Event
from simulator.yookassa.fiscal import FiscalReceipt
from simulator.yookassa.instruments import Card, Instrument, income
from simulator.yookassa.money import amount_object
from simulator.yookassa.refunds import Refund
from simulator.yookassa.shops import Shop, ShopTable
from simulator.yookassa.state import Confirmation, Payment, Status

PAGE_PATH = "/checkout/payments/v2/contract"
CARD_EXPIRY = {"expiry_year": "2030", "expiry_month": "12"}
RECEIPT_FIELDS = ("tax_system_code", "items", "settlements")
MOSCOW = timezone(timedelta(hours=3))
PAYER_BANK = {"bank_id": "100000000022", "bic": "044525444"}

Json = dict[str, object]


def time_text(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Artist:
    """Knows the shops and the address buyers see; draws everything else from what it is given."""

    def __init__(self, shops: ShopTable, public_url: str) -> None:
        self._shops = shops
        self.public_url = public_url

    def payment(self, payment: Payment) -> Json:
        request, shop = payment.request, self._shops[payment.shop_id]
        drawn: Json = {"id": payment.id, "status": payment.status, "amount": amount_object(payment.amount)}
        if request.description is not None:
            drawn["description"] = request.description
        drawn["recipient"] = {"account_id": shop.id, "gateway_id": shop.gateway_id}
        drawn["created_at"] = time_text(payment.created_at)
        if payment.instrument is not None:
            drawn["payment_method"] = _payment_method(payment, payment.instrument)
        if payment.status is Status.PENDING and request.confirmation is not None:
            drawn["confirmation"] = self._confirmation(payment.id, request.confirmation)
        if payment.hold_until is not None:
            drawn["expires_at"] = time_text(payment.hold_until)
        if payment.captured_at is not None:
            drawn |= _captured(payment, payment.captured_at)
        drawn["test"] = True
        drawn["paid"] = payment.status in (Status.WAITING_FOR_CAPTURE, Status.SUCCEEDED)
        drawn["refundable"] = payment.refundable > 0
        drawn["metadata"] = dict(request.metadata)
        if request.merchant_customer_id is not None:
            drawn["merchant_customer_id"] = request.merchant_customer_id
        if payment.cancellation is not None:
            drawn["cancellation_details"] = _cancellation(payment.cancellation.party, payment.cancellation.reason)
        if payment.instrument is not None and payment.instrument.rrn:
            drawn["authorization_details"] = _authorization(payment.instrument)
        if payment.receipt is not None:
            drawn["receipt_registration"] = payment.receipt
        return drawn

    def event(self, event: Event) -> Json:
        """The notification's envelope around the object as it was."""
        subject = event.subject
        drawn = self.payment(subject) if isinstance(subject, Payment) else refund_object(subject)
        return {"type": "notification", "event": event.name, "object": drawn}

    def page_url(self, payment_id: str) -> str:
        return f"{self.public_url}{PAGE_PATH}?orderId={payment_id}"

    def _confirmation(self, payment_id: str, confirmation: Confirmation) -> Json:
        drawn: Json = {"type": confirmation.type}
        if confirmation.return_url is not None:
            drawn["return_url"] = confirmation.return_url
        if confirmation.type == "qr":
            drawn["confirmation_data"] = self.page_url(payment_id)
        elif confirmation.type == "embedded":
            drawn["confirmation_token"] = f"ct-{payment_id}"
        elif confirmation.type != "external":
            drawn["confirmation_url"] = self.page_url(payment_id)
        return drawn


def refund_object(refund: Refund) -> Json:
    drawn: Json = {
        "id": refund.id,
        "payment_id": refund.payment_id,
        "status": refund.status,
        "created_at": time_text(refund.created_at),
        "amount": amount_object(refund.amount),
    }
    if refund.request.description is not None:
        drawn["description"] = refund.request.description
    if refund.request.metadata:
        drawn["metadata"] = dict(refund.request.metadata)
    done = refund.status is Status.SUCCEEDED
    if refund.method == "sbp":
        operation: Json = {"sbp_operation_id": refund.sbp_operation_id} if done else {}
        drawn["refund_method"] = {"type": "sbp"} | operation
    elif refund.method == "bank_card" and done:
        drawn["refund_authorization_details"] = {"rrn": refund.rrn}
    if refund.status is Status.CANCELED and refund.verdict is not None:
        drawn["cancellation_details"] = _cancellation(refund.verdict.party, refund.verdict.reason)
    if refund.receipt is not None:
        drawn["receipt_registration"] = refund.receipt
    return drawn


def receipt_object(receipt: FiscalReceipt) -> Json:
    drawn: Json = {
        "id": receipt.id,
        "type": receipt.kind,
        f"{receipt.kind}_id": receipt.subject_id,
        "status": receipt.status,
    }
    drawn |= {name: receipt.said[name] for name in RECEIPT_FIELDS if name in receipt.said}
    if receipt.registered_at is not None:
        drawn["registered_at"] = receipt.registered_at.astimezone(MOSCOW).isoformat(timespec="milliseconds")
    return drawn


def list_object(items: Sequence[Json], next_cursor: str | None) -> Json:
    drawn: Json = {"type": "list", "items": list(items)}
    return drawn if next_cursor is None else drawn | {"next_cursor": next_cursor}


def me_object(shop: Shop) -> Json:
    return {
        "account_id": shop.id,
        "status": "enabled",
        "test": True,
        "fiscalization": {"enabled": shop.fiscalization, "provider": shop.fiscal_provider},
        "fiscalization_enabled": shop.fiscalization,
        "payment_methods": list(shop.methods),
        "itn": "7700000000",
    }


def _captured(payment: Payment, captured_at: datetime) -> Json:
    method = payment.instrument.method if payment.instrument else "bank_card"
    return {
        "income_amount": amount_object(income(payment.captured, method)),
        "captured_at": time_text(captured_at),
        "refunded_amount": amount_object(payment.refunded),
    }


def _payment_method(payment: Payment, instrument: Instrument) -> Json:
    drawn: Json = {"type": instrument.method, "id": payment.id, "saved": False, "status": "inactive"}
    if instrument.card is not None:
        drawn |= _card(instrument.card)
    elif instrument.method == "sbp" and payment.status is Status.SUCCEEDED:
        drawn |= {"sbp_operation_id": instrument.sbp_operation_id, "payer_bank_details": PAYER_BANK}
    elif instrument.method == "yoo_money" and payment.authorized:
        drawn |= {"title": "YooMoney wallet 410011758831136", "account_number": "410011758831136"}
    return drawn


def _card(card: Card) -> Json:
    details = {"first6": card.first6, "last4": card.last4, **CARD_EXPIRY}
    return {
        "title": f"Bank card *{card.last4}",
        "card": details | {"card_type": card.brand, "issuer_country": "RU"},
    }


def _authorization(instrument: Instrument) -> Json:
    applied = instrument.card is not None and instrument.card.three_d_secure
    return {
        "rrn": instrument.rrn,
        "auth_code": instrument.auth_code,
        "three_d_secure": {"applied": applied},
    }


def _cancellation(party: str, reason: str) -> Json:
    return {"party": party, "reason": reason}
