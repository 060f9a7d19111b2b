"""Two merchants with their shops at one simulated YooKassa, all in this process: the cloud's money side for real.

Time moves, loops work and notifications arrive only when a test says so; every call goes over a `Wire`.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.background.loops import ThreadPool
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.orders.deadlines import Deadlines
from cloud.orders.models import Order, Payment
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import OutboxRow
from cloud.orders.scanning import Scan, open_order
from cloud.orders.tasks import Lane
from cloud.payments.call_worker import CallWorker
from cloud.payments.checkout import Checkout, Refusal
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.status_poller import StatusPoller
from cloud.payments.yookassa.client import YooKassaClient
from cloud.payments.yookassa.webhook import create_blueprint
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Call
from simulator.yookassa.refunds import Refund
from simulator.yookassa.state import Payment as Theirs
from simulator.yookassa.terms import Terms
from tests.cloud import migrated
from tests.cloud.money.wire import Fate, Wire, WorkerDied
from tests.cloud.tills import WEBHOOK
from tests.cloud.worlds import ACCOUNT, DEVICE, PRICE, SHOP_SECRET, World, a_world

SOUTH, SOUTH_DEVICE, SOUTH_ACCOUNT, SOUTH_SECRET = "south", "s-001", "100501", "south_secret"
SHOPS = [SimulatedShop(id=ACCOUNT, secret=SHOP_SECRET), SimulatedShop(id=SOUTH_ACCOUNT, secret=SOUTH_SECRET)]
SECRETS = {"north": SHOP_SECRET, SOUTH: SOUTH_SECRET}
ACCOUNTS = {"north": ACCOUNT, SOUTH: SOUTH_ACCOUNT}
DEVICES = {"north": DEVICE, SOUTH: SOUTH_DEVICE}
LEASE_OVER_S = 61.0
REST_STEPS = 400
LONGEST_STRIDE_S = 3600.0


class Market:
    """`workers` is a call worker and a status poller for each of two worker processes."""

    def __init__(self, world: World, yookassa: YooKassaSimulator, over_http: bool = False) -> None:
        self.world, self.yookassa, self.over_http = world, yookassa, over_http
        self.database, self.clock = world.database, world.clock
        self.wire = Wire(yookassa, self._meanwhile)
        self.shops = ProviderClients(world.database, world.vault, self._connect, lambda: world.now)
        self.workers = [(self._call_worker(name), self._poller(name)) for name in ("first", "second")]
        self.at_work = 0
        self.failures_allowed = 10**6
        """In a row, before a shop's circuit opens; of clients not yet made."""
        ids = itertools.count(1)
        self.checkout = Checkout(
            world.database, self.shops, self._call_worker("web"), world.clock, lambda: f"pay{next(ids):04}"
        )
        self.deadlines = Deadlines(world.database, world.rules)
        self.letters: list[bytes] = []
        """Notifications the provider has sent and nobody has delivered yet."""
        self._door = Flask("door")
        self._door.register_blueprint(create_blueprint(world.database, world.clock, (), None))
        self._keys = itertools.count(1)

    def _call_worker(self, owner: str) -> CallWorker:
        pool = ThreadPool(owner, 0)
        rules, address = self.world.rules, "https://x"
        return CallWorker(self.database, self.shops, rules, address, owner, pool, lambda: 0.0, self.clock)

    def _poller(self, owner: str) -> StatusPoller:
        return StatusPoller(self.database, self.shops, self.world.rules, ThreadPool(owner, 0), lambda: 0.0, self.clock)

    def _connect(self, shop: Shop, _scenario: str) -> Provider:
        client = YooKassaClient(
            shop, self.yookassa.url, user_agent="CoffeeRelay/test", bucket=TokenBucket(1e6, 1e6),
            breaker=CircuitBreaker(self.failures_allowed), clock=lambda: self.clock.now.timestamp(),
        )  # fmt: skip
        client._transport = self.wire.of(shop, client._transport if self.over_http else None)  # type: ignore[assignment]  # same shape
        return client

    def _meanwhile(self) -> None:
        """One worker waits for its answer so long that the other takes its work."""
        self.clock.advance(LEASE_OVER_S)
        self.at_work = 1 - self.at_work
        self.work()

    # The buyer and the persons

    def scan(self, order_id: str, merchant: str = "north") -> str:
        scan = Scan(order_id, DEVICES[merchant], "latte", 1)
        return self.database.transact(open_order, scan, "ru", self.world.rules, self.clock.now).id

    def press(self, order_id: str) -> str:
        """The page to pay at, or the code of the refusal."""
        try:
            return self.checkout.pay(order_id)
        except Refusal as refusal:
            return refusal.code
        except WorkerDied:
            return "no answer"

    def buys(self, order_id: str, merchant: str = "north", method: str = "bank_card") -> str:
        """Scanned, paid and seen to be; the order's id."""
        self.press(self.scan(order_id, merchant))
        self.yookassa.pay(self.provider_id(order_id), method=method)
        self.hint(self.provider_id(order_id))
        self.work()
        return order_id

    def in_cabinet(self, provider_id: str, act: str) -> None:
        """A person of the shop captures or cancels a hold by hand; nothing when that is impossible."""
        shop = next(shop for shop in SHOPS if shop.id == self.yookassa.provider.find(provider_id).shop_id)
        call = Call(shop, f"cabinet-{next(self._keys)}", f"/v3/payments/{provider_id}/{act}", b"{}")
        with suppress(Rejected):
            getattr(self.yookassa.provider, act)(call, provider_id)

    def change_credential(self, merchant: str, **values: Any) -> None:
        def change(tx: Transaction) -> None:
            credential = tx.session.get_one(Credential, (merchant, "Yookassa"))
            for name, value in values.items():
                setattr(credential, name, value)
            credential.version += 1

        self.database.transact(change)

    def spoil_credential(self, merchant: str, how: str) -> None:
        """It is `removed`, `mistyped` or of `another_account`; `right` mends it."""
        secret, account = SECRETS[merchant], ACCOUNTS[merchant]
        if how == "removed":
            self.database.transact(lambda tx: _remove_credential(tx.session, merchant))
            return
        self.database.transact(lambda tx: _add_credential(tx.session, self.world, merchant))
        wrong = {"mistyped": {"secret": self.world.vault.lock("mistyped")}, "another_account": {"account_id": "777"}}
        right = {"secret": self.world.vault.lock(secret), "account_id": account}
        self.change_credential(merchant, **(right | wrong.get(how, {})))

    # Notifications

    def collect_letters(self) -> None:
        """Let the provider send what it has to say."""
        while (due := self.yookassa.step(self.yookassa.clock())) is not None and due <= self.yookassa.clock():
            pass

    def post_letter(self, _url: str, body: bytes, _headers: dict[str, str]) -> int:
        self.letters.append(body)
        return 200

    def notify(self, body: bytes) -> int:
        """Something comes to the webhook's door; the status it is answered."""
        return self._door.test_client().post(WEBHOOK, data=body).status_code

    def hint(self, provider_id: str, status: str = "succeeded", account: str = ACCOUNT) -> int:
        """A notification that speaks of a payment; nothing in it need be true."""
        told = {"id": provider_id, "status": status, "recipient": {"account_id": account}}
        return self.notify(json.dumps({"event": f"payment.{status}", "object": told}).encode())

    # Time and our own loops

    def work(self, seconds: float = 0.0) -> None:
        """Time passes; the worker at work does what is due until nothing is."""
        self.clock.advance(seconds)
        call_worker, poller = self.workers[self.at_work]
        quiet = 0
        for _ in range(200):
            now = self.clock.now
            quiet = quiet + 1 if min(call_worker.step(now), poller.step(now)) > now else 0
            if quiet == 2:
                return
        raise AssertionError("the loops do not come to rest")

    def rest(self) -> None:
        """All is well again and time goes on, in ever longer strides, until nobody has anything to do."""
        self.wire.fates.clear()
        self.wire.standing = Fate.WELL
        for merchant in ACCOUNTS:
            self.spoil_credential(merchant, "right")
        for step in range(REST_STEPS):
            self.collect_letters()
            while self.letters:
                self.notify(self.letters.pop())
            self.work()
            self.deadlines.step(self.clock.now)
            due = self._next_due()
            if due is None:
                return
            stride = min(2.0 * 1.2**step, LONGEST_STRIDE_S)
            self.clock.now = max(self.clock.now + timedelta(seconds=stride), due)
        raise AssertionError(f"never comes to rest: {self._open()}")

    def end(self) -> None:
        """As `rest`, until the provider too has nothing under way; and the night's reconciliation asks about all."""
        self.rest()
        while any(there.refunding for there in self.theirs()):
            self.clock.advance(86_400)
            self.rest()
        for there in self.theirs():
            self.hint(there.id, account=there.shop_id)
        self.rest()

    def _next_due(self) -> Any:
        with self.database.read() as session:
            moments = [
                session.scalar(select(func.min(Order.due_at))),
                session.scalar(select(func.min(Order.return_after))),
                session.scalar(select(func.min(Payment.next_check_at))),
                session.scalar(
                    select(func.min(func.coalesce(OutboxRow.claimed_until, OutboxRow.due_at))).where(
                        OutboxRow.settled_at.is_(None), OutboxRow.lane == Lane.PROVIDER.value
                    )
                ),
            ]
        return min((moment for moment in moments if moment is not None), default=None)

    def _open(self) -> list[tuple[str, str, str, str]]:
        with self.database.read() as session:
            rows = session.scalars(select(OutboxRow).where(OutboxRow.settled_at.is_(None)))
            return [(row.order_id, row.task, row.key, row.last_error) for row in rows]

    # What our books and theirs say

    def provider_id(self, order_id: str) -> str:
        found = self.world.payment(order_id).provider_payment_id
        assert found is not None
        return found

    def payments(self, order_id: str) -> list[Payment]:
        """Ours, oldest first."""
        with self.database.read() as session:
            found = select(Payment).where(Payment.order_id == order_id).order_by(Payment.started_at, Payment.id)
            return list(session.scalars(found))

    def theirs(self, order_id: str = "") -> list[Theirs]:
        """Payments at the provider, of one order or all; oldest first."""
        payments, _, _ = self.yookassa.provider.snapshot()
        return [there for there, _ in payments if order_id in {"", there.request.metadata.get("order_id")}]

    def refunds(self, order_id: str = "") -> list[Refund]:
        """Refunds at the provider that have not failed."""
        wanted = {there.id for there in self.theirs(order_id)}
        _, refunds, _ = self.yookassa.provider.snapshot()
        return [refund for refund in refunds if refund.payment_id in wanted and refund.status != "canceled"]

    def kept(self, order_id: str) -> int:
        """Kopecks the merchant has of an order's buyer, by the provider's books."""
        return sum(there.captured - there.refunded for there in self.theirs(order_id))


@cache
def founded() -> bytes:
    """A database with tables and both merchants, made once."""
    with TemporaryDirectory() as folder:
        with a_world(f"sqlite:///{folder}/made.db") as world:
            world.database.transact(found_south, world)
        return Path(folder, "made.db").read_bytes()


def found_south(tx: Transaction, world: World) -> None:
    """The second merchant, as the first one is in every world."""
    tx.session.add(Merchant(id=SOUTH, name="ООО Юг"))
    tx.session.flush()
    _add_credential(tx.session, world, SOUTH)
    tx.session.add(Device(device_uuid=SOUTH_DEVICE, merchant_id=SOUTH, payment_scenario="Yookassa"))
    tx.session.flush()
    tx.session.add(DeviceLive(device_uuid=SOUTH_DEVICE, online=True, session_id="s1"))
    tx.session.add(Drink(device_uuid=SOUTH_DEVICE, drink_no="latte", name="Латте", price_medium=PRICE))


def _add_credential(session: Session, world: World, merchant: str) -> None:
    if session.get(Credential, (merchant, "Yookassa")) is None:
        secret = world.vault.lock(SECRETS[merchant])
        session.add(Credential(merchant_id=merchant, scenario="Yookassa", account_id=ACCOUNTS[merchant], secret=secret))


def _remove_credential(session: Session, merchant: str) -> None:
    credential = session.get(Credential, (merchant, "Yookassa"))
    if credential is not None:
        session.delete(credential)


@contextmanager
def a_market(
    folder: Path, over_http: bool = False, rules: OrderLimits | None = None, terms: Terms | None = None
) -> Iterator[Market]:
    """A market in a database file of its own, closed at the end."""
    (folder / "coffee.db").write_bytes(founded())
    database = Database(f"sqlite:///{folder}/coffee.db", patience_s=0)  # what is stepped by hand is written at once
    migrated.spare_the_disk(database)
    world = World(database, rules=rules or OrderLimits())
    yookassa = YooKassaSimulator(
        shops=SHOPS, clock=world.clock, seed="coffee", terms=terms, webhook_url="https://coffee.example.org",
        post=lambda url, body, headers: market.post_letter(url, body, headers),
    )  # fmt: skip
    market = Market(world, yookassa, over_http)
    if over_http:
        yookassa._server.start()
    try:
        yield market
    finally:
        market.shops.close()
        yookassa.close()
        database.close()
