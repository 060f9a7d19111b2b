"""Every switch of the simulated machine, struck in every way, against the agent: at most one cup, and never a lie.

Three orders a case, the agent killed during the second; the invariants of docs/machine-protocol.md 5.6.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest

from agent.journal.operator_decisions import Decision, leave
from protocol.machine import MakeDrink, from_frame
from protocol.messages import Outcome
from protocol.reasons import Result, Spout
from simulator.machine.switches import SWITCHES
from tests.agent.world import World

WAYS: dict[str, dict[str, object]] = {
    "as usual": {},
    "once, the second time": {"when": "once", "n": 2},
    "every second time": {"when": "every", "n": 2},
    "by chance": {"when": "chance", "chance": 0.3},
}
MIXED = [name for name in SWITCHES if name not in ("without_nv", "forget_order")]
"""A memory that forgets only now and then, and denies it at other times, is a lie no agent could see through."""


@dataclass
class Watch:
    """When each order's makes were written, and when its buyer could first have been given the money back."""

    world: World
    made_at: dict[str, list[float]] = field(default_factory=dict)
    given_back_at: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        now, written = self.world.clock.seconds, self.world.line.written
        for frame in written:
            said = from_frame(frame)
            if isinstance(said, MakeDrink):
                self.made_at.setdefault(said.order_uuid, []).append(now)
        written.clear()
        for report in self.world.reports():
            if isinstance(report, Outcome) and report.result is not Result.DONE:
                self.given_back_at.setdefault(report.order_id, now)

    def until(self, seconds: float, wanted: Callable[[], object] = lambda: False) -> None:
        """Let time pass, looking at each moment of it."""

        def looked() -> object:
            self.look()
            return wanted()

        self.world.run(seconds, looked)


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(world)


def story(watch: Watch) -> None:
    """Three orders, each told to its end, whatever the machine does; a person lets it sell on in between."""
    world = watch.world
    for number in (1, 2, 3):
        leave(world.folder, Decision.RESUME_SELLING)
        watch.until(20, lambda: world.live_state.view.machine == "ready")
        world.order(f"c{number}", f"o{number}")
        if number == 2:
            watch.until(3)
            world.restart(after=4)
            world.welcome()
        watch.until(600, partial(world.outcomes, f"c{number}"))
    for name in set(world.faults.active) - {"without_nv"}:  # what it has forgotten it does not claim to know again
        world.switch_off(name)
    watch.until(world.aftermath())


def judge(watch: Watch) -> None:
    world = watch.world
    for number in (1, 2, 3):
        order_id, outcomes = f"o{number}", world.outcomes(f"c{number}")
        assert outcomes, f"{order_id} has no end"
        last = max(outcomes, key=lambda outcome: outcome.revision)
        told = f"{order_id}: {last.result} {last.code} {last.out} ({last.evidence.rule})"
        assert world.touched(order_id) <= 1, f"{world.touched(order_id)} cups; {told}"
        if last.result is Result.DONE:
            assert world.cups(order_id) == 1, f"no cup; {told}"
        elif last.result is Result.REJECTED or last.out is Spout.NONE:
            assert world.touched(order_id) == 0, f"a cup; {told}"
        elif last.result is Result.FAILED:
            assert world.cups(order_id) == 0, f"a full cup; {told}"
        made, given_back = watch.made_at.get(order_id, []), watch.given_back_at.get(order_id)
        assert given_back is None or all(at <= given_back for at in made), f"made after it was given back; {told}"
    assert world.journal.unsettled() == []


def cases() -> list[object]:
    """Each switch as it usually strikes always runs, and in one other way in turn; the rest are for --long."""
    found: list[object] = []
    for place, name in enumerate(SWITCHES):
        for number, way in enumerate(WAYS):
            is_slice = number == 0 or (place % 9 == 0 and number == 1 + place // 9 % 3)
            found.append(pytest.param(name, way, marks=[] if is_slice else [pytest.mark.long], id=f"{name}-{way}"))
    return found


@pytest.mark.parametrize(("name", "way"), cases())
def test_one_switch(name: str, way: str, watch: Watch) -> None:
    watch.world.switch(name, **WAYS[way])
    story(watch)
    judge(watch)


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(one, marks=[pytest.mark.long]) for one in range(12, 300))])
def test_several_switches(seed: int, watch: Watch) -> None:
    random = Random(seed)
    for name in random.sample(MIXED, random.randint(2, 4)):
        watch.world.switch(name, **random.choice(list(WAYS.values())))
    story(watch)
    judge(watch)


def test_the_watch_sees_a_make_and_a_refusal(world: World, watch: Watch) -> None:
    """So that the tests above mean something."""
    world.order()
    watch.until(60)
    world.switch("no_water")
    world.order("c2", "o2")
    watch.until(60)
    assert (len(watch.made_at["o1"]), "o2" in watch.made_at) == (1, False)
    assert watch.given_back_at.keys() == {"o2"}
