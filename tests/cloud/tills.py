"""A world whose money is at a simulated YooKassa, over real HTTP; its workers work when they are told to."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.test import TestResponse

from cloud.background.loops import ThreadPool
from cloud.metrics.counts import Counts
from cloud.payments.call_worker import CallWorker
from cloud.payments.counted_calls import counted
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.status_poller import StatusPoller
from cloud.payments.yookassa.client import YooKassaClient
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.cloud.stepped_till import SteppedTill
from tests.cloud.worlds import ACCOUNT, SECRET_KEY, SHOP_SECRET, World
from tests.simulator.yookassa.shop import TestShop

WEBHOOK = "/v1/yook-pay-webhook"
PATIENCE_S = 30.0


def opened(press: Callable[[], TestResponse]) -> TestResponse:
    """Press as the page does: again while the payment is being opened, which may take long on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    answer = press()
    while answer.status_code == 503 and "in_progress" in answer.text and time.monotonic() < deadline:
        answer = press()
    return answer


class Till(SteppedTill):
    """`shop` speaks to the simulated provider past our own code: what it says is the provider's truth."""

    def __init__(self, world: World, yookassa: YooKassaSimulator, connect_to: str = "") -> None:
        self.world, self.yookassa = world, yookassa
        self.patience_s = PATIENCE_S
        self.calls_per_s, self.failures_allowed = 1e6, 1000
        """Of clients not yet made: how often we call, and how many failures in a row open the circuit."""
        self.shop = TestShop(yookassa, ACCOUNT, SHOP_SECRET)
        self._url = connect_to or yookassa.url
        self.counts = Counts()
        connect = counted(self._connect, self.counts)
        self.shops = ProviderClients(world.database, world.vault, connect, lambda: world.now)
        self.cloud = self.a_cloud("till")
        self.call_worker = self.a_call_worker("till")
        self.poller = self.a_poller()
        self.app = create_app(self.cloud)

    def a_cloud(self, owner: str, **settings: Any) -> Cloud:
        chosen = Settings(SECRET_KEY, public_url="https://coffee.example.org", **settings)
        return Cloud(
            chosen, self.world.database, self.world.rules, self.shops, owner, self.world.clock,
            self.counts,
        )  # fmt: skip

    def a_call_worker(self, owner: str, slots: int = 0) -> CallWorker:
        return CallWorker(
            self.world.database, self.shops, self.world.rules, "https://coffee.example.org", owner,
            ThreadPool(owner, slots), lambda: 0.0, self.world.clock,
        )  # fmt: skip

    def a_poller(self, pool: ThreadPool | None = None) -> StatusPoller:
        pool = pool or ThreadPool("recheck", 0)
        return StatusPoller(self.world.database, self.shops, self.world.rules, pool, lambda: 0.0, self.world.clock)

    def _connect(self, shop: Shop, _scenario: str) -> Provider:
        return YooKassaClient(
            shop,
            self._url,
            user_agent="CoffeeRelay/test",
            post_read_timeout_s=self.patience_s,
            get_read_timeout_s=self.patience_s,
            bucket=TokenBucket(self.calls_per_s, max(10.0, self.calls_per_s)),
            breaker=CircuitBreaker(self.failures_allowed),
            clock=lambda: self.world.now.timestamp(),
        )

    def be_patient(self, seconds: float = PATIENCE_S) -> None:
        """How long calls wait for an answer from now on."""
        self.patience_s = seconds
        self.shops.close()

    def fault(self, kind: FaultKind, endpoint: Endpoint, **more: Any) -> None:
        """Switch on one fault at the provider."""
        self.yookassa.faults.add(Fault(kind, endpoint, **more))

    # The buyer

    def press(self, order_id: str, **how: Any) -> TestResponse:
        """The buyer presses "pay"."""
        return self.client().post("/v1/initiate-payment", **(how or {"json": {"order_id": order_id}}))

    def open_payment(self, order_id: str = "") -> str:
        """An order whose payment page is open; the order's id."""
        order_id = self.world.scan(order_id)
        answer = opened(lambda: self.press(order_id))
        assert answer.status_code == 200, answer.text
        return order_id

    def buyer_pays(self, order_id: str, method: str = "bank_card") -> None:
        self.yookassa.pay(self.provider_id(order_id), method=method)

    def paid(self, order_id: str = "", method: str = "bank_card") -> str:
        """An order whose money has come and been seen."""
        order_id = self.open_payment(order_id)
        self.buyer_pays(order_id, method)
        self.look_at(order_id)
        return order_id

    def look_at(self, order_id: str) -> None:
        """A webhook came and the payment is asked about."""
        self.notify(order_id)
        self.work()

    # What the provider knows and says

    def provider_id(self, order_id: str) -> str:
        found = self.world.payment(order_id).provider_payment_id
        assert found is not None
        return found

    def payments_there(self) -> list[dict[str, Any]]:
        """Every payment the provider ever opened."""
        return list(self.shop.sim("GET", "/books").json()["payments"])

    def refunds_there(self) -> list[dict[str, Any]]:
        return list(self.shop.sim("GET", "/books").json()["refunds"])

    def booked(self, order_id: str) -> dict[str, int]:
        """Kopecks the provider holds, took and gave back for the order's payment."""
        return self.shop.booked(self.provider_id(order_id))

    def notification(self, provider_id: str, **claims: Any) -> dict[str, Any]:
        """What the provider would send of this payment now, overlaid with `claims`."""
        told = self.shop.payment(provider_id) | claims
        return {"type": "notification", "event": f"payment.{told['status']}", "object": told}

    def notify(self, order_id: str, **claims: Any) -> TestResponse:
        return self.post(self.notification(self.provider_id(order_id), **claims))

    def post(self, body: object, path: str = WEBHOOK, **how: Any) -> TestResponse:
        """Something comes to the webhook's door."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client().post(path, data=data, **({"content_type": "application/json"} | how))


@contextmanager
def a_till(world: World, connect_to: str = "", **options: Any) -> Iterator[Till]:
    """A till and its provider, stopped at the end."""
    shops = options.pop("shops", [SimulatedShop(id=ACCOUNT, secret=SHOP_SECRET)])
    with YooKassaSimulator(shops=shops, clock=world.clock, seed="coffee", **options) as yookassa:
        till = Till(world, yookassa, connect_to)
        try:
            yield till
        finally:
            till.shop.session.close()
            till.shops.close()
