"""The hosted payment page: a buyer pays, is declined or leaves, and goes back to the shop. Plain forms, no scripts.

Says plainly that it is a simulation. Believes nothing from the form but the choice of method and test card.
"""

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from simulator.shell.clock import Clock
from simulator.yookassa.instruments import CARDS, DECLINED_CARDS, METHODS, Card, Method
from simulator.yookassa.money import value_text
from simulator.yookassa.objects import PAGE_PATH
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Provider
from simulator.yookassa.shops import ShopTable
from simulator.yookassa.state import Payment, Status

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
NETWORKS = {"MasterCard": "Mastercard", "Mir": "Мир"}
PAGE_CARDS = ("5555555555554477", "4111111111111111", "2200000000000004")
REASONS = {
    "insufficient_funds": "Недостаточно денег",
    "3d_secure_failed": "Не пройдена проверка 3\u2011D\u00a0Secure",
    "call_issuer": "Банк просит ему позвонить",
    "card_expired": "Срок карты истёк",
    "fraud_suspected": "Подозрение на мошенничество",
    "general_decline": "Отказ без объяснения",
    "invalid_card_number": "Неверный номер карты",
    "invalid_csc": "Неверный код CVC",
    "issuer_unavailable": "Банк недоступен",
    "payment_method_limit_exceeded": "Превышен лимит",
    "payment_method_restricted": "Карта заблокирована",
    "country_forbidden": "Карты этой страны не принимаются",
    "canceled_by_merchant": "Магазин отменил платёж",
    "expired_on_confirmation": "Время на оплату вышло",
    "expired_on_capture": "Магазин не забрал деньги вовремя, они вернулись",
}


@dataclass(frozen=True, slots=True)
class CardChoice:
    """One test card as the page offers it."""

    pan: str
    label: str
    note: str


PAYING = tuple(
    CardChoice(
        pan,
        f"{NETWORKS.get(CARDS[pan].brand, CARDS[pan].brand)} ••\u00a0{CARDS[pan].last4}",
        "с 3-D\u00a0Secure" if CARDS[pan].three_d_secure else "без 3-D\u00a0Secure",
    )
    for pan in PAGE_CARDS
)


def _decline_choice(card: Card, reason: str, party: str) -> CardChoice:
    by = " (решение ЮKassa)" if party == "yoo_money" else ""
    return CardChoice(card.pan, REASONS[reason] + by, f"••\u00a0{card.last4}")


DECLINING = tuple(
    _decline_choice(card, card.decline.reason, card.decline.party)
    for card in DECLINED_CARDS
    if card.decline is not None and card.brand == "MasterCard"
)


class PayPage:
    """One address per payment: GET shows it, POST is the buyer's act."""

    def __init__(self, shops: ShopTable, provider: Provider, clock: Clock) -> None:
        self._shops = shops
        self._provider = provider
        self._clock = clock

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint(
            "paypage",
            __name__,
            template_folder="templates",
            static_folder="static",
            static_url_path="/checkout/static",
        )
        blueprint.add_url_rule(PAGE_PATH, "show", self.show, methods=["GET"])
        blueprint.add_url_rule(PAGE_PATH, "act", self.act, methods=["POST"])
        return blueprint

    def show(self) -> AnyResponse:
        try:
            payment = self._provider.find(request.args.get("orderId", ""))
        except Rejected:
            return _page("missing.html", 404)
        return self._show(payment)

    def act(self) -> AnyResponse:
        payment_id = request.args.get("orderId", "")
        try:
            payment = self._provider.find(payment_id)
        except Rejected:
            return _page("missing.html", 404)
        if request.form.get("act") == "leave":
            return self._back(payment)
        try:
            payment = self._provider.attempt(payment_id, request.form.get("method", ""), request.form.get("card", ""))
        except Rejected:
            # Paid or expired meanwhile, or a choice this page never offered: show what is true now.
            return self._show(self._provider.find(payment_id), "Этот платёж сейчас так оплатить нельзя.")
        if payment.status is Status.PENDING:
            return self._show(payment, "Банк отклонил оплату. Попробуйте другую карту или способ.")
        return self._back(payment)

    def _back(self, payment: Payment) -> AnyResponse:
        """To the shop, on success and on failure alike, with nothing added to its address."""
        confirmation = payment.request.confirmation
        if confirmation is None or confirmation.return_url is None:
            return redirect(f"{PAGE_PATH}?orderId={payment.id}", 303)
        return redirect(confirmation.return_url, 303)

    def _show(self, payment: Payment, trouble: str = "") -> Response:
        shop, confirmation = self._shops[payment.shop_id], payment.request.confirmation
        return _page(
            "pay.html" if payment.status is Status.PENDING else "done.html",
            shop=shop,
            payment=payment,
            amount=_rubles(payment.amount),
            methods=self._methods(payment),
            hold_only=not payment.request.capture,
            hides_sbp=not payment.request.capture and not payment.request.method and "sbp" in shop.methods,
            paying=PAYING,
            declining=DECLINING,
            minutes=_minutes(payment.pay_until - self._clock()),
            reason=REASONS.get(payment.cancellation.reason, "") if payment.cancellation else "",
            return_url=confirmation.return_url if confirmation else None,
            trouble=trouble,
        )

    def _methods(self, payment: Payment) -> list[Method]:
        """What the shop has on, of that what the payment asks for, of that what can hold if it must."""
        offered = (METHODS[name] for name in self._shops[payment.shop_id].methods)
        return [
            method
            for method in offered
            if payment.request.method in (None, method.type) and (payment.request.capture or method.hold)
        ]


def _page(template: str, status: int = 200, **context: object) -> Response:
    return make_response(render_template(template, **context), status, SECURITY_HEADERS)


def _rubles(kopecks: int) -> str:
    whole, _, cents = value_text(kopecks).partition(".")
    return f"{int(whole):,}".replace(",", "\u00a0") + f",{cents}\u00a0₽"


def _minutes(left: timedelta) -> int:
    return max(1, round(left.total_seconds() / 60))
