"""One campaign: buyers buy while everything is done to everybody, then all of it is mended and every order judged."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from simulator.yookassa.state import Status as ProviderStatus
from tests.chaos.buyers import Buyer
from tests.chaos.cup_watch import CupWatch
from tests.chaos.deeds import Fleet, draw
from tests.chaos.hands import CHAOS, Done, Hands
from tests.chaos.provider_desk import ProviderDesk
from tests.chaos.story import story
from tests.chaos.timeline import Timeline
from tests.chaos.verdict import Judge, Judged
from tests.mosquitto import Mosquitto
from tests.system.complaints import check_none_since, written
from tests.system.promises import let_leases_run_out
from tests.system.world import World

LATE_S = 10.0
LIMITS = {
    "COFFEE_ORDER_EXPIRATION_S": "20",
    "COFFEE_FAST_TRACK_S": str(LATE_S - 1),
    "COFFEE_MANUAL_MAKE_S": "10",
    "COFFEE_MAKE_DEADLINE_S": "8",
    "COFFEE_ACK_TIMEOUT_S": "10",
    "COFFEE_UNCERTAIN_GRACE_S": "4",
    "COFFEE_UNCERTAIN_RETURNS_A_DAY": "1000",
    "COFFEE_TRUSTED_PROXIES": "127.0.0.1/32",
}
"""Beside the system tests' own: short enough for the end to be waited for; no return waits for an operator."""
BUYERS_END_WITHIN_S = 90.0
TELLS_EVERY_S = 15.0
HOURS_AT_MOST = 12
"""The provider's clock may jump so often: it forgets idempotence keys after a day."""
STORIES_TOLD = 5


@dataclass(frozen=True)
class Options:
    """`seconds` of trouble; `hurry`: leases of the killed are not waited for (they are 30 and 60 s)."""

    seed: int
    seconds: float = 300.0
    agents: int = 10
    webs: int = 2
    workers: int = 2
    every_s: float = 2.0
    settle_s: float = 420.0
    hurry: bool = False

    @property
    def machines(self) -> tuple[str, ...]:
        return tuple(f"m-{number:03d}" for number in range(1, self.agents + 1))

    @property
    def capture(self) -> str:
        """Even seeds hold the money until the drink is poured, odd ones take it at once."""
        return "immediate" if self.seed % 2 else "on_dispense"


@dataclass(frozen=True)
class Result:
    """How it ended. Good when `broken` is empty."""

    judged: list[Judged]
    done: Done
    broken: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By order, or by what else is wrong."""


@contextmanager
def a_campaign(
    options: Options, folder: Path, broker: Mosquitto, memory: Path, database_url: str, timeline: Timeline
) -> Iterator["Campaign"]:
    """Everything started, waiting to be troubled. `memory` is the broker's file."""
    timeline.tell(
        CHAOS, f"seed {options.seed}: {options.agents} machines, {options.webs} web, {options.workers} worker"
    )
    world = World(
        folder, broker, database_url, webs=options.webs, workers=options.workers, devices=options.machines,
        capture=options.capture, limits=LIMITS,
    )  # fmt: skip
    with world:
        timeline.tell(CHAOS, f"everything runs; money is taken {options.capture.replace('_', ' ')}")
        campaign = Campaign(options, world, memory, timeline)
        try:
            yield campaign
        finally:
            campaign.hands.resume()


class Campaign:
    """For a running world: `trouble`, then `settle`, then `result`."""

    def __init__(self, options: Options, world: World, memory: Path, timeline: Timeline) -> None:
        self.world = world
        self.hands = Hands(world, memory, timeline)
        self._options = options
        self._timeline = timeline
        self._desk = ProviderDesk(world.provider.address)
        self._watch = CupWatch(world.machines, timeline)
        self._buyers = [Buyer(world, name, options.seed, LATE_S, timeline) for name in options.machines]
        self._marks = written(world.programs)

    def trouble(self) -> None:
        """Buyers at every machine and the seed's deeds, for their time; then everything is mended."""
        options = self._options
        fleet = Fleet(
            tuple(f"web {number}" for number in range(options.webs)),
            tuple(f"worker {number}" for number in range(options.workers)),
            options.machines,
        )
        deeds = draw(options.seed, options.seconds, fleet, options.every_s)
        shops_close, all_done, nobody = threading.Event(), threading.Event(), threading.Event()
        watching = threading.Thread(target=self._watch.look_until, args=(all_done,), name="cup watch")
        buying = [threading.Thread(target=b.buy_until, args=(shops_close,), name="buyer") for b in self._buyers]
        for thread in (watching, *buying):
            thread.start()
        try:
            began = time.monotonic()
            self.hands.carry_out(deeds, nobody)
            nobody.wait(max(0.0, began + options.seconds - time.monotonic()))
        finally:
            shops_close.set()
            for thread in buying:
                thread.join(BUYERS_END_WITHIN_S)
            self._timeline.tell(CHAOS, f"no more trouble; {len(self.world.bought)} orders")
            self.hands.mend()
            all_done.set()
            watching.join()
            self._watch.look()

    def settle(self, within_s: float | None = None) -> Result:
        """Wait until every order is over with its promises kept, or until there is no more hope."""
        self.world.wait_ready()
        until = time.monotonic() + (within_s or self._options.settle_s)
        judge = Judge(self.world, self.hands.done, self._watch.flowed, self._complaints())
        judged: dict[str, Judged] = {}
        open_orders = list(self.world.bought)
        told_at = hours = 0.0
        while True:
            for bought in open_orders:
                judged[bought.order_id] = judge.judge(bought)
            open_orders = [b for b in open_orders if not judged[b.order_id].is_over or judged[b.order_id].broken]
            at_risk = judge.money_at_risk() if not open_orders else []
            if time.monotonic() > until or not (open_orders or at_risk):
                break
            if time.monotonic() - told_at > TELLS_EVERY_S:
                told_at = time.monotonic()
                self._timeline.tell(CHAOS, f"{len(open_orders)} of {len(judged)} orders are under way")
                hours += self._let_an_hour_pass(hours)
            if self._options.hurry:
                let_leases_run_out(self.world)
            time.sleep(1.0)
        return self._result(list(judged.values()), at_risk)

    def tell(self, result: Result) -> str:
        """The stories of what went wrong, the table, the verdict."""
        by_order = {bought.order_id: bought for bought in self.world.bought}
        parts = []
        for order_id, broken in list(result.broken.items())[:STORIES_TOLD]:
            parts += [f"\nBROKEN {order_id}", *(f"  {says}" for says in broken)]
            if order_id in by_order:
                parts += story(self.world, by_order[order_id], self._timeline)
        return "\n".join([*parts, "", *table(result)])

    def _result(self, judged: list[Judged], at_risk: list[str]) -> Result:
        broken = {each.bought.order_id: each.broken for each in judged if each.broken}
        for each in judged:
            if not each.is_over:
                broken[each.bought.order_id] = (*each.broken, f"not over: {each.ended}")
        if at_risk:
            broken["money at risk"] = tuple(at_risk)
        try:
            check_none_since(self._marks)
        except AssertionError as unforeseen:
            broken["errors nobody foresaw"] = (str(unforeseen),)
        return Result(judged, self.hands.done, broken)

    def _complaints(self) -> Mapping[str, str]:
        return {order_id: says for buyer in self._buyers for order_id, says in buyer.complaints.items()}

    def _let_an_hour_pass(self, hours: float) -> int:
        """At the provider, when it waits for buyers who will not pay any more."""
        payments, _, _ = self.world.provider.provider.snapshot()
        unpaid = sum(payment.status is ProviderStatus.PENDING for payment, _ in payments)
        if not unpaid or hours >= HOURS_AT_MOST:
            return 0
        self._desk.an_hour_passes()
        self._timeline.tell(CHAOS, f"an hour passes at the provider: {unpaid} payments nobody made")
        return 1


def table(result: Result) -> Iterator[str]:
    """How many of what, and the verdict."""
    ended = [each.ended for each in result.judged if each.ended is not None]
    yield "Orders"
    yield f"  {'scanned':<34}{len(result.judged):>6}"
    yield f"  {'never reached the cloud':<34}{sum(each.ended is None for each in result.judged):>6}"
    for (status, reason), count in sorted(Counter((each.status, each.reason) for each in ended).items()):
        yield f"  {f'{status} {reason}'.strip():<34}{count:>6}"
    yield "Cups and money"
    yield f"  {'full cups':<34}{sum(each.cups for each in ended):>6}"
    yield f"  {'begun and not full':<34}{sum(each.touched - each.cups for each in ended):>6}"
    yield f"  {'full, and nobody could know':<34}{sum(each.is_unknowable for each in result.judged):>6}"
    yield f"  {'returned':<34}{sum(bool(each.returned_at_provider) for each in ended):>6}"
    yield f"  {'poured and returned (goodwill)':<34}{sum(each.goodwill for each in ended):>6}"
    yield "Done to them"
    for what, count in sorted(result.done.of_kind.items()):
        yield f"  {what:<34}{count:>6}"
    for kind, count in sorted(result.done.counts.items()):
        yield f"  {kind.value:<34}{count:>6}"
    yield ""
    yield f"{len(result.broken)} BROKEN: {', '.join(result.broken)}" if result.broken else "Every promise was kept."


def a_seed() -> int:
    """One nobody chose."""
    return Random().randrange(1_000_000)
