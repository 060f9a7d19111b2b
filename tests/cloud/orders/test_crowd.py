"""Everybody at one order at once: nobody waits for each other in a circle, nothing is done twice, the books agree."""

import queue
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from cloud.courier.broker import Received
from cloud.courier.listener import Listener
from cloud.courier.message_counts import SENSELESS
from cloud.courier.publisher import Publisher
from cloud.courier.welcomes import Welcomes
from cloud.metrics.counts import ALONE, Counts
from cloud.orders import making, order_tasks, outbox, paying
from cloud.orders.money import PaymentState
from cloud.orders.outbox import Lease
from cloud.orders.tasks import Lane, Task
from protocol.messages import Accepted, Outcome, encode
from protocol.reasons import Result
from protocol.topics import Channel, topic
from tests.cloud.orders.small_machine import SmallBroker
from tests.cloud.worlds import DEVICE, ONE_STAGE, PRICE, World

ORDERS = 4
TURNS = 25


class Crowd:
    """Each method is one kind of worker, doing something at random to some of the orders."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders = [world.pay(account=ONE_STAGE) for _ in range(ORDERS)]
        self.commands = {order_id: world.command(order_id).id for order_id in self.orders}
        self.payments = {order_id: world.payment(order_id).id for order_id in self.orders}

    def devices_speak(self, seed: int) -> None:
        inbox: queue.Queue[Received] = queue.Queue()
        link: Any = SimpleNamespace(inbox=inbox, ack=lambda _: None, publish=lambda *_: 0, drop=lambda: None)
        welcomes = Welcomes(self.world.database, link, self.world.clock)
        counts = Counts()
        listener = Listener(self.world.database, link, self.world.rules, welcomes, self.world.clock, counts)
        chance = random.Random(seed)
        for _ in range(TURNS):
            for order_id in chance.sample(self.orders, ORDERS):
                for said in (self._accepted(order_id), self._outcome(order_id, chance)):
                    inbox.put(Received(topic(DEVICE, Channel.REPORT), encode(said), 0, 0))
            listener.step(self.world.now)
        assert (SENSELESS.name, ("reports",), ALONE) not in counts.take()

    def courier_sends(self, seed: int) -> None:
        link: Any = SmallBroker()
        publisher = Publisher(self.world.database, link, self.world.rules, f"courier-{seed}", self.world.clock)
        for _ in range(TURNS):
            publisher.step(self.world.now)

    def provider_tells(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(TURNS):
            order_id = chance.choice(self.orders)
            self.world.database.transact(paying.ask_soon, self.payments[order_id], self.world.now)
            self.world.tell(self.payments[order_id], chance.choice([PaymentState.PENDING, PaymentState.CAPTURED]))

    def call_worker_returns(self, seed: int) -> None:
        """Claims refunds and gives the money back once for each key."""
        for _ in range(TURNS):
            for row in self.world.database.transact(
                outbox.claim, Lane.PROVIDER, self.world.now, Lease(f"cashier-{seed}", 600)
            ):
                self.world.refunded(row.subject, f"refund-of-{row.key}", row.amount)
                self.world.in_docket(
                    row.order_id, order_tasks.settle_task, row.key, row.claimed_by, "done", self.world.now
                )

    def clock_looks(self, _seed: int) -> None:
        for _ in range(TURNS):
            for order_id in self.orders:
                self.world.database.transact(making.handle_deadline, order_id, self.world.rules, self.world.now)
                self.world.database.transact(making.end_grace, order_id, self.world.rules, self.world.now)

    def _accepted(self, order_id: str) -> Accepted:
        return Accepted(message_id="a", command_id=self.commands[order_id], order_id=order_id, at=self.world.now)

    def _outcome(self, order_id: str, chance: random.Random) -> Outcome:
        result = chance.choices(list(Result), [1, 8, 8, 8])[0]
        return Outcome(
            message_id="o", command_id=self.commands[order_id], order_id=order_id, result=result, code="x",
            revision=chance.randint(1, 12), at=self.world.now,
        )  # fmt: skip


def test_a_crowd_at_the_same_orders_comes_to_one_story(world: World) -> None:
    crowd = Crowd(world)
    work = [
        *(crowd.devices_speak, crowd.devices_speak, crowd.courier_sends, crowd.courier_sends),
        *(crowd.provider_tells, crowd.provider_tells, crowd.call_worker_returns, crowd.call_worker_returns),
        crowd.clock_looks,
    ]
    gate = threading.Barrier(len(work))

    def begin(number: int) -> None:
        gate.wait()
        work[number](number)

    with ThreadPoolExecutor(len(work)) as pool:
        for worker in [pool.submit(begin, number) for number in range(len(work))]:
            worker.result(100)
    for order_id in crowd.orders:
        crowd.call_worker_returns(99)
        order, ledger = world.order(order_id), world.ledger(order_id)
        refunded = ledger.get("refunded", 0)
        assert ledger["captured"] == PRICE
        assert refunded in {0, PRICE}, "never returned twice"
        assert len(world.commands(order_id)) == 1
        versions = [change.version for change in world.history(order_id)]
        assert len(set(versions)) == len(versions), "no change was written over another"
        if order.status == "successful":
            assert order.goodwill is (refunded == PRICE)
        if order.status == "make_failed" and not order.uncertain:
            assert refunded == PRICE
        assert len([row for row in world.rows(order_id, Task.REFUND) if row.verdict == "done"]) <= 1
