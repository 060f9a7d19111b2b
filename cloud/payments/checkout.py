"""POST /v1/initiate-payment: opens the order's payment at the provider and says where the buyer pays.

The payment and its call are stored first; a second press finds the first payment (docs/promises.md, mistake 8).
"""

import logging
import re
from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, jsonify, redirect, request
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.availability import drink_of, obstacle
from cloud.fleet.models import Credential, Device, DeviceLive
from cloud.http.request_body import body_fields
from cloud.orders import paying
from cloud.orders.locked_order import UnknownOrder, lock_order
from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import OutboxRow
from cloud.orders.paying import Account, NotPayable
from cloud.orders.states import Status
from cloud.orders.tasks import KEY_REFUSED
from cloud.payments.call_worker import CallWorker
from cloud.payments.provider import InvalidRequest, Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.receipts import carried as receipts_carried
from cloud.payments.receipts.carried import EmailMalformed, EmailMissing

log = logging.getLogger("cloud.payments.checkout")

MAX_ORDER_ID = 255
TRY_AGAIN_S = 3
PATIENCE_S = 4.0
"""So long a press waits for the payment's page; then the buyer's page asks again, and the opening goes on."""
ABOUT_EMAIL = frozenset({"email_required", "email_malformed"})
"""Codes of refusals the buyer can mend by typing."""
PAYMENT_BEGUN = "payment_begun"
_LANGUAGE = re.compile("[a-z]{2}")


class Refusal(Exception):
    """Why the order is not paid now: the HTTP status, a code for programs, words for people who read logs.

    `says` names the buyer's sentence where the code's own would say too much.
    """

    def __init__(self, status: int, code: str, words: str, says: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.code = code
        self.words = words
        self.says = says or code


class Checkout:
    """Opens payments. `new_id` gives our payment ids."""

    def __init__(
        self, database: Database, clients: ProviderClients, call_worker: CallWorker, clock: Clock,
        new_id: Callable[[], str], is_ending: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._database = database
        self._clients = clients
        self._call_worker = call_worker
        self._clock = clock
        self._new_id = new_id
        self._is_ending = is_ending

    def pay(self, order_id: str, email: str = "", language: str = "") -> str:
        """The provider's page for this order; its receipt, where there is one, goes to `email`. Raises `Refusal`.

        `language`: of the page the buyer pressed on and comes back to; what is being opened keeps its first one.
        """
        if self._is_ending():
            raise Refusal(503, "in_progress", "the service restarts, try again in a moment")
        credential, provider = self._account(order_id)
        try:
            payment, call = self._database.transact(self._start, order_id, email, language, credential, provider)
        except UnknownOrder:
            raise Refusal(404, "unknown_order", "no such order") from None
        except NotPayable as error:
            raise self._not_payable(error) from None
        except EmailMissing:
            raise Refusal(400, "email_required", "an e-mail address for the receipt is needed") from None
        except EmailMalformed:
            raise Refusal(400, "email_malformed", "no receipt can be sent to this e-mail address") from None
        except InvalidRequest as error:
            log.error("no payment can be opened: %s", error, extra={"order_id": order_id})
            raise Refusal(503, "not_payable", str(error)) from None
        except IntegrityError:  # the unique index: two presses at the same moment
            raise Refusal(503, "in_progress", "the payment is being opened") from None
        if call is not None:
            self._call_worker.open(call)
        else:
            self._refuse_if_nobody_can_be_asked(payment)
        self._call_worker.wait_for_opening(payment.id, PATIENCE_S)
        return self._page(payment.id)

    def _account(self, order_id: str) -> tuple[Credential, Provider]:
        with self._database.read() as session:
            order = session.get(Order, order_id)
        if order is None:
            raise Refusal(404, "unknown_order", "no such order")
        try:
            return self._clients.of(order.merchant_id, order.payment_scenario)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": order_id})
            raise _no_payment(is_begun=order.status == Status.PENDING) from None

    def _refuse_if_nobody_can_be_asked(self, payment: Payment) -> None:
        """About a payment opened earlier, at an account that may have been left meanwhile."""
        try:
            self._clients.of_payment(payment)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": payment.order_id})
            raise _no_payment(is_begun=True) from None

    def _start(
        self, tx: Transaction, order_id: str, email: str, language: str, credential: Credential, provider: Provider
    ) -> tuple[Payment, OutboxRow | None]:
        now = self._clock()
        account = Account(credential.scenario, credential.account_id, credential.capture, credential.status_check)
        payment, is_new = paying.start_payment(tx, order_id, account, self._new_id(), now)
        if not is_new:
            return payment, self._unopened(tx, payment, now)
        order = lock_order(tx, order_id).order
        _refuse_if_it_cannot_be_made(tx.session, order)
        receipts_carried.begin(tx, order, payment, credential, email, now)
        return payment, self._call_worker.claim_new(tx, payment, order, provider, now, language)

    def _unopened(self, tx: Transaction, payment: Payment, now: datetime) -> OutboxRow | None:
        """A payment begun before whose opening nobody is at: its process died, or its provider could not be reached.

        Raises `NotPayable` once the order is over: then nothing is opened any more.
        """
        if payment.state != PaymentState.CREATING:
            return None
        order = lock_order(tx, payment.order_id).order
        if now >= order.expires_at:
            raise NotPayable(order, expired=True)
        return self._call_worker.take_over(tx, payment, now)

    def _page(self, payment_id: str) -> str:
        with self._database.read() as session:
            payment = session.scalars(select(Payment).where(Payment.id == payment_id)).one()
            error_of_opening = select(OutboxRow.last_error).where(OutboxRow.key == paying.create_key(payment_id))
            trouble = session.scalar(error_of_opening) or ""  # one that was taken in has no opening
        if payment.state == PaymentState.PENDING and payment.confirmation_url:
            return payment.confirmation_url
        if payment.state == PaymentState.REFUSED:
            raise Refusal(503, "provider_refused", "the payment could not be opened")
        if payment.state == PaymentState.CREATING and trouble.startswith(KEY_REFUSED):
            raise Refusal(503, "no_payment", "the payment provider refuses this merchant's key")
        if payment.state in {PaymentState.CREATING, PaymentState.PENDING}:
            raise Refusal(503, "in_progress", "the payment is being opened, try again in a moment")
        if payment.state == PaymentState.CANCELED:  # after an answer that was lost, or by the provider meanwhile
            raise Refusal(503, "in_progress", "the payment was cancelled, press again for a new one")
        raise Refusal(409, "already_paid", "the order has been paid")

    @staticmethod
    def _not_payable(error: NotPayable) -> Refusal:
        if error.expired:
            return Refusal(410, "expired", "the order has expired")
        return Refusal(409, "wrong_state", str(error))


def _no_payment(*, is_begun: bool) -> Refusal:
    """Nobody can be asked. Of a payment begun before, that may be paid, nobody says that nothing was charged."""
    return Refusal(503, "no_payment", "payment is not set up for this machine", PAYMENT_BEGUN if is_begun else "")


def _refuse_if_it_cannot_be_made(session: Session, order: Order) -> None:
    """The buyer is told before paying, also from a page opened when the machine was still well."""
    device, live = session.get_one(Device, order.device_uuid), session.get(DeviceLive, order.device_uuid)
    drink = drink_of(session, order.device_uuid, order.drink_no)
    why = obstacle(device, live, drink, order.id, patient=True)
    if why:
        log.info("not sold: %s", why, extra={"order_id": order.id, "device": order.device_uuid})
        raise Refusal(503, why, "the machine cannot make this drink now")


def create_blueprint(checkout: Checkout) -> Blueprint:
    """JSON or form in; JSON out, or a redirect for a browser without JavaScript."""
    blueprint = Blueprint("checkout", __name__)

    @blueprint.post("/v1/initiate-payment")
    def initiate_payment() -> BaseResponse:
        try:
            url = checkout.pay(_order_id(), _email(), _language())
        except Refusal as refusal:
            if _is_plain_form():
                raise _Page(refusal) from None  # a browser without JavaScript gets the page of this error
            return _refused(refusal)
        if _is_plain_form():
            return redirect(url, 303)
        return jsonify(redirect_url=url)

    return blueprint


class _Page(HTTPException):
    """A refusal for a reader of pages: `why` names the sentence, `order_id` the page to go back to."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.code = refusal.status
        self.why = refusal.says
        is_no_order = refusal.status in {400, 404} and refusal.code not in ABOUT_EMAIL
        self.order_id = "" if is_no_order else body_fields(request).get("order_id")


def _email() -> str:
    """What was given as an address; "" for none. Whether it is one is judged only where a receipt is sent."""
    email = body_fields(request).get("email")
    if email is not None and not isinstance(email, str):
        raise Refusal(400, "email_malformed", "email is no text")
    return (email or "").strip()


def _language() -> str:
    """The page's language, as its address names it; "" where it names none."""
    asked = request.args.get("lang", "")
    return asked if _LANGUAGE.fullmatch(asked) else ""


def _order_id() -> str:
    order_id = body_fields(request).get("order_id")
    if not isinstance(order_id, str) or not 0 < len(order_id) <= MAX_ORDER_ID or not order_id.isprintable():
        raise Refusal(400, "bad_request", "order_id is missing")
    return order_id


def _is_plain_form() -> bool:
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return not request.is_json and best == "text/html"


def _refused(refusal: Refusal) -> Response:
    answer = jsonify(error={"code": refusal.code, "message": refusal.words})
    answer.status_code = refusal.status
    if refusal.status == 503:
        answer.headers["Retry-After"] = str(TRY_AGAIN_S)
    return answer
