"""T-Bank and its simulator, as the contract suite wants a provider."""

import json
from dataclasses import replace

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.fleet.models import Credential
from cloud.payments.facts import RefundFacts
from cloud.payments.provider import NewPayment, Provider, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.tbank.client import TBankClient
from cloud.payments.tbank.ledger_view import Booked, LedgerView, ledger_view_of
from simulator.tbank import TBankSimulator, Terminal
from simulator.tbank.control import forged
from simulator.tbank.messages import notification
from tests.cloud.payments.contract.rig import Clock, Money
from tests.cloud.payments.contract.wire import Wire
from tests.cloud.worlds import World

ACTS = ("/Init", "/Confirm", "/Cancel")
NEWS_URL = "https://coffee.example.org/v1/tbank-webhook"


class TBankRig:
    """See `rig.ProviderRig`."""

    scenario = "TBank"
    shop = Shop("1700000000001DEMO", "password_north")
    other_shop = Shop("1700000000002DEMO", "password_south")
    lists = False
    cancels_unpaid = True
    notification_path = "/v1/tbank-webhook"
    notification_accepted = "OK"

    def __init__(self, clock: Clock, world: World | None = None) -> None:
        terminals = [Terminal(key=shop.account_id, password=shop.secret_key) for shop in (self.shop, self.other_shop)]
        self.bank = TBankSimulator(terminals=terminals, clock=clock, seed="contract", post=lambda *_: 200).start()
        self.wire = Wire(self.bank.url, lambda _method, path: path.endswith(ACTS))
        self._clock = clock
        self._world = world
        self._clients: list[Provider] = []
        self._books: dict[str, Booked] = {}

    def connect(self, shop: Shop, patience_s: float = 30.0) -> Provider:
        return self._connect(shop, lambda name, _: self._books.get(name), patience_s)

    def _connect(self, shop: Shop, books: LedgerView, patience_s: float) -> Provider:
        client = TBankClient(
            shop,
            self.wire.url,
            user_agent="CoffeeRelay/contract",
            ledger=books,
            notification_url=NEWS_URL,
            act_timeout_s=patience_s,
            ask_timeout_s=30.0,
            bucket=TokenBucket(1e6, 1e6),
            breaker=CircuitBreaker(failures=1000),
            now=self._clock,
        )
        self._clients.append(client)
        return client

    def booked(self, payment: NewPayment) -> None:
        self._books[payment.payment] = Booked(payment.order_id, payment.amount)

    def returned(self, refund: RefundFacts) -> None:
        order_id = self.bank.bank.find(refund.provider_payment_id).order_id
        had = self._books[order_id]
        self._books[order_id] = replace(had, returns={**had.returns, refund.provider_refund_id: refund.amount})

    def credential(self, shop: Shop) -> Credential:
        return Credential(merchant_id="north", scenario=self.scenario, account_id=shop.account_id)

    def cloud_connect(self, shop: Shop, scenario: str) -> Provider:
        assert self._world is not None
        return self._connect(shop, ledger_view_of(self._world.database), 30.0)

    def buyer_pays(self, provider_payment_id: str) -> None:
        self.bank.pay(provider_payment_id)

    def buyer_is_declined(self, provider_payment_id: str) -> None:
        self.bank.bank.decline(provider_payment_id, "insufficient_funds")

    def time_passes(self, seconds: float) -> None:
        self.bank.advance(seconds)

    def refund_by_hand(self, provider_payment_id: str, amount: int) -> None:
        self.bank.bank.cancel_in_cabinet(provider_payment_id, amount)

    def money(self, provider_payment_id: str) -> Money:
        payment = self.bank.bank.find(provider_payment_id)
        return Money(payment.held, payment.confirmed, payment.refunded)

    def payments(self) -> list[str]:
        ours = (payment for payment, _ in self.bank.bank.snapshot() if payment.terminal == self.shop.account_id)
        return [payment.id for payment in ours]

    def twisted(self, answer: bytes, *, status: bool = False, amount: bool = False, shop: bool = False) -> bytes:
        told = json.loads(answer)
        if status:
            told["Status"] = "QUANTUM_CHECKING"
        if amount:
            told["Amount"] = 100
        if shop:
            told["TerminalKey"] = self.other_shop.account_id
        return json.dumps(told).encode()

    def notification(self, provider_payment_id: str) -> bytes:
        return json.dumps(
            notification(self.bank.bank.find(provider_payment_id), self.shop.secret_key, numbers=False)
        ).encode()

    def forged_notification(self, provider_payment_id: str) -> bytes:
        return forged(self.bank.bank.find(provider_payment_id), {"Status": "CONFIRMED"}, "a guess")

    def post_notification(self, client: FlaskClient, body: bytes, forged: bool = False) -> TestResponse:
        return client.post(self.notification_path, data=body, content_type="application/json")

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.wire.close()
        self.bank.close()
