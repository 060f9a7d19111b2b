"""YooKassa and its simulator, as the contract suite wants a provider."""

import json

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.fleet.models import Credential
from cloud.payments.facts import RefundFacts
from cloud.payments.provider import NewPayment, Provider, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.yookassa.client import YooKassaClient
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa import YooKassaSimulator
from tests.cloud.payments.contract.rig import Clock, Money
from tests.cloud.payments.contract.wire import Wire
from tests.cloud.worlds import World
from tests.simulator.yookassa.shop import TestShop

PROVIDERS_ADDRESS = "185.71.76.1"
FORGERS_ADDRESS = "203.0.113.7"


class YooKassaRig:
    """See `rig.ProviderRig`."""

    scenario = "Yookassa"
    shop = Shop("100500", "test_north")
    other_shop = Shop("100501", "test_south")
    lists = True
    cancels_unpaid = False
    notification_path = "/v1/yook-pay-webhook"
    notification_accepted = ""

    def __init__(self, clock: Clock, world: World | None = None) -> None:
        shops = [SimulatedShop(id=shop.account_id, secret=shop.secret_key) for shop in (self.shop, self.other_shop)]
        self._provider = YooKassaSimulator(shops=shops, clock=clock, seed="contract").start()
        self._shop = TestShop(self._provider, self.shop.account_id, self.shop.secret_key)
        self.wire = Wire(self._provider.url, lambda method, _path: method == "POST")
        self._clients: list[Provider] = []

    def connect(self, shop: Shop, patience_s: float = 30.0) -> Provider:
        client = YooKassaClient(
            shop,
            self.wire.url,
            user_agent="CoffeeRelay/contract",
            post_read_timeout_s=patience_s,
            get_read_timeout_s=30.0,
            bucket=TokenBucket(1e6, 1e6),
            breaker=CircuitBreaker(failures=1000),
        )
        self._clients.append(client)
        return client

    def booked(self, payment: NewPayment) -> None:
        """Everything of it comes back in the metadata."""

    def returned(self, refund: RefundFacts) -> None:
        """YooKassa keeps its own list."""

    def credential(self, shop: Shop) -> Credential:
        return Credential(merchant_id="north", scenario=self.scenario, account_id=shop.account_id)

    def cloud_connect(self, shop: Shop, scenario: str) -> Provider:
        return self.connect(shop)

    def buyer_pays(self, provider_payment_id: str) -> None:
        self._provider.pay(provider_payment_id)

    def buyer_is_declined(self, provider_payment_id: str) -> None:
        answer = self._shop.sim("POST", f"/decline/{provider_payment_id}", {})
        assert answer.status_code == 200, answer.text

    def time_passes(self, seconds: float) -> None:
        self._provider.advance(seconds)

    def refund_by_hand(self, provider_payment_id: str, amount: int) -> None:
        wanted = {"payment_id": provider_payment_id, "amount": f"{amount // 100}.{amount % 100:02d}"}
        answer = self._shop.sim("POST", "/refund", wanted)
        assert answer.status_code == 200, answer.text

    def money(self, provider_payment_id: str) -> Money:
        kopecks = self._shop.booked(provider_payment_id)
        return Money(kopecks["held"], kopecks["captured"], kopecks["refunded"])

    def payments(self) -> list[str]:
        books = self._shop.sim("GET", "/books").json()["payments"]
        return [entry["id"] for entry in books if entry["shop"] == self.shop.account_id]

    def twisted(self, answer: bytes, *, status: bool = False, amount: bool = False, shop: bool = False) -> bytes:
        told = json.loads(answer)
        if status:
            told["status"] = "quantum_checking"
        if amount:
            told["amount"]["value"] = "1.00"
        if shop:
            told["recipient"]["account_id"] = self.other_shop.account_id
        return json.dumps(told).encode()

    def notification(self, provider_payment_id: str) -> bytes:
        told = self._shop.payment(provider_payment_id)
        return json.dumps({"type": "notification", "event": f"payment.{told['status']}", "object": told}).encode()

    def forged_notification(self, provider_payment_id: str) -> bytes:
        told = self._shop.payment(provider_payment_id) | {"status": "succeeded", "paid": True}
        return json.dumps({"type": "notification", "event": "payment.succeeded", "object": told}).encode()

    def post_notification(self, client: FlaskClient, body: bytes, forged: bool = False) -> TestResponse:
        sender = {"REMOTE_ADDR": FORGERS_ADDRESS if forged else PROVIDERS_ADDRESS}
        return client.post(self.notification_path, data=body, content_type="application/json", environ_base=sender)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._shop.session.close()
        self.wire.close()
        self._provider.close()
