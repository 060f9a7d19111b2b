"""One deployment measured from beginning to end: start, rest, each rate, full load, memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import buyers, latency, maximum, reads
from bench.buyers import Bought
from bench.figures import Spread, spread
from bench.idle import SETTLE_S, Rest, measure
from bench.latency import Latency
from bench.maximum import Maximum
from bench.orders import Prepared, device_uuid
from bench.programs import Weight
from bench.reads import Reads
from bench.stage import Deployment, Stage

FAKE_MACHINES = 60
AGENT_ORDERS_A_SECOND = 5.0
"""One machine pours one drink at a time: a real agent gets no more than this, the others go to the fleet."""
ENDING_S = 30.0


@dataclass(frozen=True)
class Length:
    """How long each thing is measured."""

    rates: tuple[float, ...]
    seconds: float
    maximum_seconds: float
    maximum_orders: int
    """Prepared for each second of full load; more than any cloud will take."""
    idle_seconds: float = 20.0
    """How long nothing happens, before everything else; 0 leaves it out."""
    reads_seconds: float = 2.0
    """How long each number of callers asks for orders, with and without knowing the answer; 0 leaves it out."""
    buyers_seconds: float = 6.0
    """How long the predecessor's load; 0 leaves it out."""


DEFAULT = Length(rates=(2.0, 50.0), seconds=15.0, maximum_seconds=12.0, maximum_orders=600)


@dataclass(frozen=True)
class Result:
    """Everything measured of one deployment."""

    deployment: str
    capture: str
    latencies: tuple[Latency, ...]
    maximum: Maximum | None
    reads: tuple[Reads, ...]
    bought: Bought | None
    agent_start: Spread | None
    """Process start to presence at the broker."""
    idle: dict[str, Rest]
    memory_at_rest: dict[str, Weight | None]
    memory_after: dict[str, Weight | None]
    statuses: dict[str, int]
    posted: int

    @property
    def all_successful(self) -> bool:
        """Whether every order that was paid for was poured."""
        return self.statuses.get("successful", 0) == self.posted


def run(
    deployment: Deployment, length: Length, agents: int, capture: str, say: Callable[[str], None],
    stage_of: type[Stage] = Stage,
) -> Result:  # fmt: skip
    """Measure it. Raises `Missing`."""
    plans, last, spare = plans_of(length, agents)
    prepared = [order for plan in (*plans, last, spare) for order in plan]
    say(f"{deployment}: starting, with {len(prepared)} orders prepared")
    with stage_of(deployment, agents, agents + FAKE_MACHINES, prepared, capture) as stage:
        at_rest = stage.weights()
        idle = _at_rest(stage, length.idle_seconds, say)
        starts = spread(stage.agent_starts())
        latencies = []
        for rate, plan in zip(length.rates, plans, strict=True):
            say(f"{deployment}: {rate:g} orders/s for {len(plan) / rate:.0f} s")
            latencies.append(latency.measure(stage, plan, rate))
        most = None
        if last:
            say(f"{deployment}: as many as it can for {length.maximum_seconds:g} s")
            most = maximum.measure(stage, last, length.maximum_seconds)
        asked = reads_of(stage, len(prepared), length.reads_seconds)
        bought = None
        if spare:
            say(f"{deployment}: {buyers.BUYERS} buyers for {length.buyers_seconds:g} s")
            bought = buyers.measure(stage.cloud_url, spare, length.buyers_seconds, capture)
        return Result(
            deployment=deployment.value,
            capture=capture,
            latencies=tuple(latencies),
            maximum=most,
            reads=asked,
            bought=bought,
            agent_start=starts,
            idle=idle,
            memory_at_rest=at_rest,
            memory_after=stage.weights(),
            statuses=_settled(stage),
            posted=sum(map(len, plans)) + (most.posted if most else 0) + (bought.orders if bought else 0),
        )


def _at_rest(stage: Stage, seconds: float, say: Callable[[str], None]) -> dict[str, Rest]:
    if not seconds:
        return {}
    say(f"at rest for {seconds:g} s")
    time.sleep(min(seconds, SETTLE_S))
    return measure(stage, seconds)


def reads_of(stage: Stage, orders: int, seconds: float) -> tuple[Reads, ...]:
    """Measure few callers and many, without and with the ETag of the answer."""
    if not seconds:
        return ()
    turns = [(callers, knows) for callers in reads.CALLERS for knows in (False, True)]
    return tuple(
        reads.measure(stage.cloud_url, stage.served_with, orders, callers, seconds, knows=knows)
        for callers, knows in turns
    )


def plans_of(length: Length, agents: int) -> tuple[list[list[Prepared]], list[Prepared], list[Prepared]]:
    """The orders of each rate, those of full load, and those of the predecessor's load."""
    plans: list[list[Prepared]] = []
    first = 1
    for rate in length.rates:
        count = round(rate * length.seconds)
        stride = max(1, round(rate / (agents * AGENT_ORDERS_A_SECOND)))
        plans.append(
            [
                Prepared(first + i, _real(i // stride, agents) if i % stride == 0 else _fake(i, agents))
                for i in range(count)
            ]
        )
        first += count
    many = [
        Prepared(first + i, _fake(i, agents))
        for i in range(round(length.maximum_orders * (length.maximum_seconds + length.buyers_seconds)))
    ]
    cut = round(length.maximum_orders * length.maximum_seconds)
    return plans, many[:cut], many[cut:]


def _real(turn: int, agents: int) -> str:
    return device_uuid(turn % agents)


def _fake(turn: int, agents: int) -> str:
    return device_uuid(agents + turn % FAKE_MACHINES)


def _settled(stage: Stage) -> dict[str, int]:
    """The orders' statuses once nothing moves any more."""
    until = time.monotonic() + ENDING_S
    statuses = stage.statuses()
    while _moving(statuses) and time.monotonic() < until:
        time.sleep(0.5)
        statuses = stage.statuses()
    return statuses


def _moving(statuses: dict[str, int]) -> bool:
    still: Sequence[str] = ("paid", "make_pending")
    return any(statuses.get(status) for status in still)
