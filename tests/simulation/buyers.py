"""The people at the machines: who pay at once, late, twice or never, press twice, come back, leave; and a forger.

Each is a task that reads from top to bottom; all they know is what the cloud and the payment page tell them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeVar

import msgspec
from sqlalchemy.exc import OperationalError

from cloud.orders.making import NotPourable
from cloud.orders.scanning import NotForSale, Scan
from cloud.payments.checkout import Refusal
from simulator.yookassa.instruments import DECLINED_CARDS
from tests.simulation.mixes import Mix
from tests.simulation.scheduler import NoAnswer, Process

if TYPE_CHECKING:
    from tests.simulation.cloud_process import CloudProcess
    from tests.simulation.world import World

T = TypeVar("T")
TRIES = 4
TRY_LATER = 503
SLOW_S, LATE_S = (310.0, 850.0), (950.0, 3500.0)
"""After the fast track, before the order's end; after the order's end, within the provider's hour."""


@dataclass(frozen=True)
class Plan:
    """One buyer, drawn from the seed."""

    order_id: str
    device: str
    comes_at: float
    habit: str
    method: str


class Buyer:
    """`live` is their whole visit."""

    def __init__(self, world: "World", plan: Plan, random: Random) -> None:
        self.plan = plan
        self.name = f"buyer {plan.order_id}"
        self.is_settled = False
        self._world = world
        self._random = random
        self._process = Process(self.name)

    def begin(self) -> None:
        self._world.scheduler.spawn(self._process, self._visit, self.plan.comes_at, self._go_home)

    def _go_home(self) -> None:
        self.is_settled = True

    def _visit(self) -> None:
        plan, habit = self.plan, self.plan.habit
        self._say(f"{habit}: scans at {plan.device}")
        scan = Scan(plan.order_id, plan.device, "americano", 1)
        if self._keep_trying(lambda cloud: cloud.scan(scan)) is None or habit == "leaves":
            return self._say("leaves")
        self._sleep(1.0, 30.0)
        if habit == "presses twice":
            self._world.scheduler.spawn(self._process, self._press_again)
        page = self._keep_trying(lambda cloud: cloud.pay(plan.order_id))
        if page is None or habit == "never pays":
            return self._say("goes away without paying")
        if habit == "declined":
            self._sleep(2.0, 40.0)
            self._world.provider.pay(page, "bank_card", self._random.choice(DECLINED_CARDS).pan)
            self._sleep(5.0, 60.0)
            page = self._keep_trying(lambda cloud: cloud.pay(plan.order_id))
            if page is None:
                return self._say("goes away without paying")
        self._sleep(*{"slow": SLOW_S, "late": LATE_S}.get(habit, (2.0, 60.0)))
        if self._world.provider.pay(page, plan.method):
            self._say("has paid")
            self._world.paid_at[plan.order_id] = self._world.scheduler.true_time
            self._wait_for_the_cup(habit)
        return None

    def _press_again(self) -> None:
        """The same page in another tab: pays what can still be paid there."""
        self._sleep(0.0, 0.5)
        page = self._keep_trying(lambda cloud: cloud.pay(self.plan.order_id))
        if page is not None:
            self._sleep(20.0, 200.0)
            self._world.provider.pay(page, self.plan.method)

    def _wait_for_the_cup(self, habit: str) -> None:
        """Some come back to the page of a slow payment and have it poured."""
        self._sleep(5.0, 120.0)
        scan = Scan(self.plan.order_id, self.plan.device, "americano", 1)
        if habit == "scans again":
            self._keep_trying(lambda cloud: cloud.scan(scan))
            self._keep_trying(lambda cloud: cloud.pay(self.plan.order_id))
        if self._random.random() < 0.6:
            self._keep_trying(lambda cloud: cloud.pour_now(self.plan.order_id))

    def _keep_trying(self, act: "Callable[[CloudProcess], T]") -> T | None:
        """Ask the cloud as a browser does; None after some refusals."""
        for _ in range(TRIES):
            web = self._world.a_web()
            try:
                if web is not None:
                    self._sleep(0.02, 0.2)
                    return self._world.scheduler.ask(web.process, lambda web=web: act(web))  # type: ignore[misc]  # bound
                self._say("nobody answers")
            except NoAnswer:
                self._say("the connection breaks")
            except (Refusal, NotForSale, NotPourable) as refused:
                self._say(f"is told: {refused}")
                if not isinstance(refused, Refusal) or refused.status != TRY_LATER:
                    return None
            except OperationalError:
                self._say("is told: internal error")
            except Exception as error:  # noqa: BLE001  # a page that says "internal error"
                self._world.promises.break_(0, f"an error nobody expected: {type(error).__name__}: {error}")
            self._sleep(3.0, 20.0)
        return None

    def _sleep(self, least: float, most: float) -> None:
        self._world.scheduler.sleep(self._random.uniform(least, most))

    def _say(self, words: str) -> None:
        self._world.timeline.add("buyer", words, self.plan.order_id)


def forged(payment_id: str, account_id: str, order_id: str, event: str) -> bytes:
    """A notification nobody at the provider wrote, as true to life as an attacker could make it."""
    status = event.partition(".")[2]
    if event == "refund.succeeded":
        told: dict[str, object] = {
            "id": f"{payment_id[:-1]}f", "payment_id": payment_id, "status": status,
            "amount": {"value": "179.00", "currency": "RUB"}, "created_at": "2026-05-04T08:05:00.000Z",
        }  # fmt: skip
        return msgspec.json.encode({"type": "notification", "event": event, "object": told})
    told = {
        "id": payment_id, "status": status, "paid": True, "amount": {"value": "179.00", "currency": "RUB"},
        "recipient": {"account_id": account_id, "gateway_id": "1"}, "metadata": {"order_id": order_id},
    }  # fmt: skip
    return msgspec.json.encode({"type": "notification", "event": event, "object": told})


def draw_plans(random: Random, mix: Mix) -> list[Plan]:
    """Who comes, when, and how they are."""
    plans = []
    at = 20.0
    for number in range(1, random.randint(1, mix.most_buyers) + 1):
        at += random.choice((0.0, random.uniform(0.0, 5.0), random.uniform(10.0, 120.0)))
        habit = random.choices(list(mix.habits), list(mix.habits.values()))[0]
        method = random.choice(("bank_card", "sbp")) if mix.methods_immediate else "bank_card"
        plans.append(Plan(f"o{number}", random.choice(mix.devices), at, habit, method))
    lookers = [Plan(f"look{number}", mix.devices[0], 1.0, "never pays", "") for number in range(mix.open_pages)]
    return lookers + plans
