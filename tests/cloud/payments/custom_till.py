"""A world whose money is at a merchant with its own payment page, over real HTTP; loops work when they are told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from werkzeug.test import TestResponse

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device
from cloud.payments.call_worker import CallWorker
from cloud.payments.custom.callback import PATH
from cloud.payments.custom.client import CustomClient
from cloud.payments.custom.ledger_view import LedgerView, addresses_of
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.status_poller import StatusPoller
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud
from simulator.custom import CustomSimulator
from simulator.custom.books import Payment as TheirPayment
from tests.cloud.stepped_till import SteppedTill
from tests.cloud.tills import opened
from tests.cloud.worlds import DEVICE, SECRET_KEY, World

ACCOUNT = "north-coffee"
SECRET = "an-agreed-secret-of-forty-two-characters!!"
PUBLIC_URL = "https://coffee.example.org"


class CustomTill(SteppedTill):
    """`merchant` is the other side. Its callbacks come in by `hear()`, as if posted."""

    def __init__(self, world: World, merchant: CustomSimulator, **offers: str) -> None:
        self.world, self.merchant = world, merchant
        self.answers: list[int] = []
        self.bodies: list[Any] = []
        """Callbacks as they came, and what we answered."""
        merchant.callbacks.post = self.call_back  # type: ignore[method-assign]  # the wire, without its port
        settings = Settings(SECRET_KEY, public_url=PUBLIC_URL)
        self.patience_s = 10.0
        self.shops = ProviderClients(world.database, world.vault, self._connect, lambda: world.now)
        cloud = Cloud(settings, world.database, world.rules, self.shops, "till", world.clock)
        self.call_worker = CallWorker(
            world.database, self.shops, world.rules, PUBLIC_URL, "till", ThreadPool("till", 0), lambda: 0.0, world.clock
        )
        self.poller = StatusPoller(
            world.database, self.shops, world.rules, ThreadPool("re", 0), lambda: 0.0, world.clock
        )
        self.app = create_app(cloud)
        self._buyer = requests.Session()
        self._buyer.trust_env = False
        world.database.transact(self._account, offers)

    def _connect(self, shop: Shop, scenario: str) -> Provider:
        addresses = addresses_of(self.world.database, shop.account_id)
        assert scenario == "Custom"
        assert addresses is not None
        return CustomClient(
            shop, addresses, LedgerView(self.world.database, shop.account_id), user_agent="CoffeeRelay/test",
            callback_url=PUBLIC_URL + PATH, act_timeout_s=self.patience_s, ask_timeout_s=self.patience_s,
            bucket=TokenBucket(1e6, 1e6), breaker=CircuitBreaker(failures=1000), now=self.world.clock,
            clock=lambda: self.world.now.timestamp(),
        )  # fmt: skip

    def _account(self, tx: Transaction, offers: dict[str, str]) -> None:
        values = {"page_url": f"{self.merchant.address}/page", "status_url": "", "action_url": ""} | offers
        locked = self.world.vault.lock(SECRET)
        tx.session.add(Credential(merchant_id="north", scenario="Custom", account_id=ACCOUNT, secret=locked, **values))
        tx.session.get_one(Device, DEVICE).payment_scenario = "Custom"

    def close(self) -> None:
        self._buyer.close()
        self.shops.close()

    # The buyer

    def open_payment(self, order_id: str = "") -> str:
        """Scanned, and the merchant's page open in the buyer's hand; the order's id."""
        order_id = self.world.scan(order_id)
        answer = opened(lambda: self.client().post("/v1/initiate-payment", json={"order_id": order_id}))
        assert answer.status_code == 200, answer.text
        assert self.visit(answer.json["redirect_url"]).status_code == 200  # type: ignore[index]  # it is JSON
        return order_id

    def visit(self, link: str) -> requests.Response:
        return self._buyer.get(link, timeout=10)

    def link(self, order_id: str) -> str:
        return self.world.payment(order_id).confirmation_url

    def press(self, order_id: str, act: str) -> None:
        """A button on the merchant's page."""
        answer = self._buyer.post(self.link(order_id), data={"act": act}, timeout=10, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"].startswith(f"{PUBLIC_URL}/v1/order-status-page?order_id=")

    def paid(self, order_id: str = "") -> str:
        """An order whose money came and was seen."""
        order_id = self.open_payment(order_id)
        self.press(order_id, "pay")
        self.hear()
        self.work()
        return order_id

    # The merchant

    def name(self, order_id: str) -> str:
        return self.world.payment(order_id).provider_payment_id or ""

    def theirs(self, order_id: str) -> TheirPayment:
        """The truth of the merchant's books."""
        return self.merchant.books.find(self.name(order_id))

    def hear(self) -> list[int]:
        """The callbacks that wait are delivered; our answers."""
        before = len(self.answers)
        self.merchant.callbacks.send_waiting()
        return self.answers[before:]

    def call_back(self, body: Any) -> int:
        """Something comes to the merchants' door."""
        answer = self.post(body)
        self.answers.append(answer.status_code)
        self.bodies.append(body)
        return answer.status_code

    def post(self, body: Any) -> TestResponse:
        how: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        return self.client().post(PATH, **how)


@contextmanager
def a_custom_till(world: World, offers: tuple[str, ...] = ("status_url", "action_url")) -> Iterator[CustomTill]:
    """A till at a merchant who offers these addresses; money is held where there is an action address."""
    with CustomSimulator(ACCOUNT, SECRET, PATH, sends=False, clock=world.clock) as merchant:
        urls = {name: f"{merchant.address}/{name.removesuffix('_url')}" for name in offers}
        capture = "on_dispense" if "action_url" in offers else "immediate"
        till = CustomTill(world, merchant, capture=capture, **urls)
        try:
            yield till
        finally:
            till.close()
