"""The hosted payment page: a buyer pays, is declined or leaves, and goes back to the shop. Plain forms, no scripts.

Says plainly that it is a simulation. Believes nothing from the form but the choice of method or reason.
"""

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from simulator.tbank.api import PAGE_PATH
from simulator.tbank.bank import DECLINES, MIN_SBP, Bank, NoSuchPayment
from simulator.tbank.state import CARD, HELD, PAYABLE, SBP, Payment, Refused, Status
from simulator.tbank.terminals import TerminalTable

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
METHODS = {CARD: "Банковская карта", SBP: "СБП"}
REASONS = {
    "insufficient_funds": "Недостаточно денег",
    "3ds": "Не пройдена проверка 3\u2011D\u00a0Secure",
    "bank": "Банк отказал",
    "forbidden": "Операции по карте запрещены",
}


class PayPage:
    """One address per payment: GET shows it, POST is the buyer's act."""

    def __init__(self, terminals: TerminalTable, bank: Bank) -> None:
        self._terminals = terminals
        self._bank = bank

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint(
            "page", __name__, template_folder="templates", static_folder="static", static_url_path="/form/static"
        )
        blueprint.add_url_rule(f"{PAGE_PATH}<page>", "show", self.show, methods=["GET"])
        blueprint.add_url_rule(f"{PAGE_PATH}<page>", "act", self.act, methods=["POST"])
        return blueprint

    def show(self, page: str) -> AnyResponse:
        try:
            return self._show(self._bank.page(page, opened=True))
        except NoSuchPayment:
            return _page("tbank/missing.html", 404)

    def act(self, page: str) -> AnyResponse:
        try:
            payment = self._bank.page(page, opened=False)
        except NoSuchPayment:
            return _page("tbank/missing.html", 404)
        if request.form.get("act") == "leave":
            return self._back(payment)
        try:
            if reason := request.form.get("decline"):
                payment = self._bank.decline(payment.id, reason)
            else:
                payment = self._bank.pay(payment.id, request.form.get("method", ""))
        except Refused:
            # Paid or expired meanwhile, or a choice this page never offered: show what is true now.
            return self._show(self._bank.find(payment.id), "Этот платёж сейчас так оплатить нельзя.")
        if payment.status in PAYABLE:
            return self._show(payment, "Банк отклонил оплату. Попробуйте ещё раз.")
        return self._back(payment)

    def _back(self, payment: Payment) -> AnyResponse:
        paid = payment.status in HELD or payment.status is Status.CONFIRMED
        address = payment.success_url if paid else payment.fail_url
        return redirect(address or f"{PAGE_PATH}{payment.page}", 303)

    def _show(self, payment: Payment, trouble: str = "") -> Response:
        terminal = self._terminals[payment.terminal]
        by_sbp = terminal.sbp and not payment.two_stage and payment.amount >= MIN_SBP
        return _page(
            "tbank/pay.html" if payment.status in PAYABLE else "tbank/done.html",
            name=terminal.name,
            payment=payment,
            amount=f"{payment.amount // 100:,}".replace(",", "\u00a0") + f",{payment.amount % 100:02d}\u00a0₽",
            methods={name: title for name, title in METHODS.items() if name != SBP or by_sbp},
            reasons={reason: REASONS[reason] for reason in DECLINES},
            trouble=trouble,
        )


def _page(template: str, status: int = 200, **context: object) -> Response:
    return make_response(render_template(template, **context), status, SECURITY_HEADERS)
