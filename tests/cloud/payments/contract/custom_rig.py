"""A merchant's own payment page and its simulator, as the contract suite wants a provider."""

import hashlib
import json
from typing import Any

import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.fleet.models import Credential
from cloud.payments.custom.client import CustomClient
from cloud.payments.custom.ledger_view import Addresses, Booked, LedgerView
from cloud.payments.custom.objects import our_payment
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.outcomes import Ok, Outcome
from cloud.payments.provider import NewPayment, Operation, PreparedCall, Provider, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from simulator.custom import CustomSimulator
from simulator.custom.books import Status
from simulator.custom.signing import envelope, open_envelope
from simulator.shell.clock import AdvancingClock
from tests.cloud.payments.contract.rig import Clock, Money
from tests.cloud.payments.contract.wire import Wire
from tests.cloud.worlds import World


class RigBooks(LedgerView):
    """What our books would hold, without a database."""

    def __init__(self) -> None:
        self.payments: dict[str, NewPayment] = {}
        self.refunds: dict[str, str] = {}

    def payment(self, name: str) -> Booked | None:
        known = self.payments.get(our_payment(name))
        return Booked(name, known.order_id, known.amount) if known is not None else None

    def payment_of_refund(self, key: str) -> str | None:
        return self.refunds.get(key)


class WithBuyer(CustomClient):
    """Its buyer comes to the page at once: a payment begins there, not with our call."""

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        outcome = super().send(call)
        if call.operation is Operation.CREATE and isinstance(outcome, Ok) and isinstance(outcome.value, PaymentFacts):
            requests.get(outcome.value.confirmation_url or "", timeout=10)
        return outcome


class CustomRig:
    """See `rig.ProviderRig`."""

    scenario = "Custom"
    shop = Shop("north-coffee", "an-agreed-secret-of-the-northern-merchant")
    other_shop = Shop("south-coffee", "an-agreed-secret-of-the-southern-merchant")
    lists = False
    cancels_unpaid = False
    notification_path = "/v1/custom-callback"
    notification_accepted = ""

    def __init__(self, clock: Clock, world: World | None = None) -> None:
        self.clock = AdvancingClock(clock)
        self.merchants = {
            shop.account_id: CustomSimulator(shop.account_id, shop.secret_key, sends=False, clock=self.clock).start()
            for shop in (self.shop, self.other_shop)
        }
        self.merchant = self.merchants[self.shop.account_id]
        self.wire = Wire(self.merchant.address, lambda method, _path: method == "POST")
        self._world = world
        self._clients: list[Provider] = []
        self._books = RigBooks()

    def connect(self, shop: Shop, patience_s: float = 30.0) -> Provider:
        return self._connect(shop, self._books if shop.account_id == self.shop.account_id else RigBooks(), patience_s)

    def _connect(self, shop: Shop, books: LedgerView, patience_s: float) -> Provider:
        client = WithBuyer(
            shop, self._addresses(shop), books, user_agent="CoffeeRelay/contract",
            callback_url=f"https://coffee.example.org{self.notification_path}", act_timeout_s=patience_s,
            ask_timeout_s=30.0, bucket=TokenBucket(1e6, 1e6), breaker=CircuitBreaker(failures=1000),
            now=self.clock,
        )  # fmt: skip
        self._clients.append(client)
        return client

    def _addresses(self, shop: Shop) -> Addresses:
        merchant = self.merchants[shop.account_id].address
        base = self.wire.url if shop.account_id == self.shop.account_id else merchant
        return Addresses(f"{merchant}/page", f"{base}/status", f"{base}/action")

    def booked(self, payment: NewPayment) -> None:
        self._books.payments[payment.payment] = payment

    def returned(self, refund: RefundFacts) -> None:
        self._books.refunds[refund.provider_refund_id] = refund.provider_payment_id

    def credential(self, shop: Shop) -> Credential:
        its = self._addresses(shop)
        return Credential(
            merchant_id="north", scenario=self.scenario, account_id=shop.account_id, page_url=its.page_url,
            status_url=its.status_url, action_url=its.action_url,
        )  # fmt: skip

    def cloud_connect(self, shop: Shop, scenario: str) -> Provider:
        assert self._world is not None
        return self._connect(shop, LedgerView(self._world.database, shop.account_id), 30.0)

    def buyer_pays(self, provider_payment_id: str) -> None:
        self.merchant.books.pay(provider_payment_id)

    def buyer_is_declined(self, provider_payment_id: str) -> None:
        self.merchant.books.decline(provider_payment_id)

    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def refund_by_hand(self, provider_payment_id: str, amount: int) -> None:
        self.merchant.books.refund(provider_payment_id, f"by-hand-{amount}", amount)

    def money(self, provider_payment_id: str) -> Money:
        payment = self.merchant.books.find(provider_payment_id)
        return Money(payment.amount if payment.status is Status.HELD else 0, payment.captured, payment.refunded)

    def payments(self) -> list[str]:
        return [payment.name for payment in self.merchant.books.all()]

    def twisted(self, answer: bytes, *, status: bool = False, amount: bool = False, shop: bool = False) -> bytes:
        told: dict[str, Any] = open_envelope(self.shop.secret_key, "answer", answer)
        if status:
            told["status"] = "quantum_checking"
        if amount:
            told["amount"] = 100
        if shop:
            told["account"] = self.other_shop.account_id
        return json.dumps(envelope(self.shop.secret_key, "answer", told)).encode()

    def notification(self, provider_payment_id: str) -> bytes:
        told = self.merchant.books.find(provider_payment_id).told(self.shop.account_id)
        return self._callback(told, self.shop.secret_key)

    def forged_notification(self, provider_payment_id: str) -> bytes:
        told = self.merchant.books.find(provider_payment_id).told(self.shop.account_id)
        return self._callback(told | {"status": "succeeded"}, "a guess")

    def _callback(self, told: dict[str, object], secret: str) -> bytes:
        """The same news has the same nonce; its time is when it leaves."""
        nonce = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
        whole = told | {"nonce": nonce, "time": int(self.clock().timestamp())}
        return json.dumps(envelope(secret, "callback", whole)).encode()

    def post_notification(self, client: FlaskClient, body: bytes, forged: bool = False) -> TestResponse:
        return client.post(self.notification_path, data=body, content_type="application/json")

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.wire.close()
        for merchant in self.merchants.values():
            merchant.close()
