"""One fleet measured from its first connect on: coming online, at rest, selling, the broker killed while it sells."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.figures import Spread, spread
from bench.fleet.stage import FleetStage
from bench.fleet.watching import StateWatch, are_over, ended
from bench.orders import Prepared
from bench.programs import Weight
from bench.webhooks import Notifier

CONNECTIONS = 16
ONLINE_WITHIN_S = 300.0
OVER_WITHIN_S = 180.0
"""Longer than the cloud waits for an outcome: what is open after that is told as open."""
DEAD_S = 2.0
"""From the broker's end to its new start, as systemd has it."""
KILLED_AFTER = 0.3
"""Of the orders."""


@dataclass(frozen=True)
class Arrival:
    """All agents connect, so many a second."""

    seconds: float
    """Until all were welcomed; ONLINE_WITHIN_S when they never were."""
    welcomed: int
    hellos_a_connection: float


@dataclass(frozen=True)
class Sale:
    """Orders at a rate, through to their end."""

    orders: int
    paid_to_finished: Spread | None
    """Milliseconds, of those poured and paid."""
    statuses: dict[str, int]
    poured: int
    poured_percent: float
    poured_but_lost: int
    """Cups that were poured, and the books say that they were not made."""
    poured_twice: int
    state_lag: Spread | None
    """Milliseconds from a machine's state to the database, up to 250 too many."""
    states_set_back: int
    """Of the watched machines: an older state came after a newer one."""
    connects: int
    hellos: int
    rows_a_message: float
    """Written to the machines' live state for each state and presence; 0 where nobody counts."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Of one processor, in percent."""


@dataclass(frozen=True)
class FleetResult:
    """Everything measured of one fleet."""

    deployment: str
    agents: int
    workers: int
    tls: bool
    orders_a_second: float
    arrival: Arrival
    rest: dict[str, float]
    """Processor at rest, in percent of one."""
    sale: Sale | None
    killed: Sale | None
    memory: dict[str, Weight | None]
    refused: str


def come_online(stage: FleetStage, agents: int) -> Arrival:
    """Wait until the cloud has welcomed all of them."""
    began = time.monotonic()
    while (record := stage.fleet_of_agents.take()).welcomed < agents and time.monotonic() - began < ONLINE_WITHIN_S:
        time.sleep(0.2)
    took = round(time.monotonic() - began, 1)
    return Arrival(took, record.welcomed, round(record.hellos / max(1, record.connects), 2))


def at_rest(stage: FleetStage, seconds: float) -> dict[str, float]:
    """Processor of each program while nobody buys."""
    return _used(stage, lambda: time.sleep(seconds))


def sell(
    stage: FleetStage, plan: Sequence[Prepared], a_second: float, *, kills_broker: bool, say: Callable[[str], None]
) -> Sale:
    """Post their webhooks at this rate, and wait for their end."""
    before, rows = stage.fleet_of_agents.take(), stage.rows_written()
    watch = StateWatch(stage.database_url, stage.names[: stage.moving])
    notifier = Notifier(stage.cloud_url, stage.capture, CONNECTIONS)
    numbers = [order.number for order in plan]
    cut = round(len(plan) * KILLED_AFTER) if kills_broker else len(plan)

    def post() -> None:
        notifier.at_rate(plan[:cut], a_second)
        if kills_broker:
            say("the broker is killed")
            stage.broker.kill()
            notifier.at_rate(plan[cut : cut + round(DEAD_S * a_second)], a_second)
            stage.broker.start()
            notifier.at_rate(plan[cut + round(DEAD_S * a_second) :], a_second)
        notifier.finish()

    cpu = _used(stage, post)
    until = time.monotonic() + OVER_WITHIN_S
    while not are_over(stage.database_url, numbers) and time.monotonic() < until:
        time.sleep(1.0)
    lags = watch.finish()
    record = stage.fleet_of_agents.take()
    poured = record.poured.keys() - before.poured.keys()
    found = ended(stage.database_url, numbers, frozenset(poured))
    messages = record.states - before.states
    return Sale(
        orders=len(plan),
        paid_to_finished=spread(found.took),
        statuses=found.statuses,
        poured=len(poured),
        poured_percent=round(100 * len(poured) / max(1, len(plan)), 1),
        poured_but_lost=found.poured_but_lost,
        poured_twice=record.poured_twice - before.poured_twice,
        state_lag=spread(lags),
        states_set_back=watch.set_back,
        connects=record.connects - before.connects,
        hellos=record.hellos - before.hellos,
        rows_a_message=round((stage.rows_written() - rows) / max(1, messages), 2),
        cpu=cpu,
    )


def _used(stage: FleetStage, do: Callable[[], object]) -> dict[str, float]:
    cpu, began = stage.cpu(), time.monotonic()
    do()
    lasted = time.monotonic() - began
    spent = {name: used - cpu[name] if used >= cpu[name] else used for name, used in stage.cpu().items()}  # restarted
    return {name: round(100 * seconds / lasted, 1) for name, seconds in spent.items()}
