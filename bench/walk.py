"""`python -m bench.walk`: which functions of ours one order passes through, in the real programs, call by call.

Two walks: from a notification to its command at the broker, and from a machine's refusal to the call that returns the
money. `--calls` prints each call, to be read beside docs/one-coffee.md. Of each walk it tells how many calls there
were, and what share of them is machinery between the rules: transactions, rows, locks, threads.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import orders, traced
from bench.answering import Fleet
from bench.orders import Prepared
from bench.stage import DATABASES, Deployment, Stage
from bench.webhooks import Notifier
from protocol.messages import Make, Message, Outcome
from protocol.reasons import Result, Spout

ORDERS, A_SECOND, WARM = 14, 2.0, 6
"""The first ones fill caches; of the others the middle one is shown."""
ENDS_WITHIN_S = 60.0
MACHINERY = ("cloud/database/", "cloud/orders/locked_order.py", "cloud/background/loops.py")
_CLOCK = "cloud/database/clock.py"
"""What time it is every rule asks."""
_WRITES_LATER = "deferred-writes"

Place = tuple[str, str]
"""A file and a function."""


@dataclass(frozen=True)
class Call:
    """One call of a function of ours; `at` seconds of a steady clock."""

    at: float
    thread: str
    place: Place

    @property
    def is_machinery(self) -> bool:
        """Whether it is about how things are stored and shared, and not about what is done."""
        return self.place[0].startswith(MACHINERY) and self.place[0] != _CLOCK


@dataclass(frozen=True)
class Walk:
    """From one function to another; `by_way_of` tells it from others that begin alike."""

    name: str
    begins: Place
    ends: Place
    by_way_of: Place
    deferred: bool = False
    """Whether a part of it is done by the thread of deferred writes."""


WALKS = (
    Walk(
        "a notification becomes a command",
        ("cloud/payments/yookassa/webhook.py", "yookassa_webhook"),
        ("cloud/courier/publisher.py", "_publish"),
        ("cloud/orders/paying.py", "record_payment_answer"),
    ),
    Walk(
        "a refusal becomes a return",
        ("cloud/courier/listener.py", "_understand"),
        ("cloud/payments/transport.py", "exchange"),
        ("cloud/orders/making.py", "record_outcome"),
        deferred=True,
    ),
)


class Refusing(Fleet):
    """Machines that have no water."""

    def answers(self, make: Make) -> Sequence[Message]:
        """Nothing was begun."""
        return [
            Outcome(
                message_id=f"o-{make.order_id}", command_id=make.command_id, order_id=make.order_id,
                at=datetime.now(UTC), result=Result.REJECTED, code="no_water", out=Spout.NONE,
            )
        ]  # fmt: skip


class TracedStage(Stage):
    """The cloud notes its calls, and no machine pours."""

    cloud_module: Sequence[str] = ("bench.traced", "cloud")
    fleet_kind = Refusing


def main(arguments: list[str] | None = None) -> int:
    """0 when both walks were seen."""
    parser = argparse.ArgumentParser(prog="bench.walk", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default=Deployment.SQLITE)
    parser.add_argument("--calls", action="store_true", help="each call, with milliseconds since the first")
    options = parser.parse_args(arguments)
    calls = _calls(Deployment(options.database))
    seen = 0
    for walk in WALKS:
        found = sorted(_ways(walk, calls), key=len)
        if not found:
            print(f"{walk.name}: not seen", file=sys.stderr)
            continue
        seen += 1
        _tell(walk, found[len(found) // 2], options.calls)
    return 0 if seen == len(WALKS) else 1


def _calls(deployment: Deployment) -> list[Call]:
    """What the cloud called while orders came and were refused, each by another machine: one that fails is closed."""
    plan = [Prepared(number, orders.device_uuid(number)) for number in range(ORDERS)]
    with TracedStage(deployment, 0, ORDERS, plan, "on_dispense") as stage:
        notifier = Notifier(stage.cloud_url, stage.capture, 1)
        notifier.at_rate(plan, A_SECOND)
        notifier.finish()
        returned, until = 0, time.monotonic() + ENDS_WITHIN_S
        while returned < ORDERS and time.monotonic() < until:
            time.sleep(0.1)
            returned += len(stage.provider.take().captured)
        lines = [line for file in sorted(stage.folder.rglob(traced.FILE)) for line in file.read_text().splitlines()]
    told = [line.split("\t") for line in lines]
    return sorted((Call(float(one[0]), one[1], (one[2], one[3])) for one in told if len(one) == 4), key=lambda c: c.at)


def _ways(walk: Walk, calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Each time it was walked, once all was warm: the calls of the threads that walked it."""
    beginnings = [place for place, call in enumerate(calls) if call.place == walk.begins]
    for number, first in enumerate(beginnings):
        until = beginnings[number + 1] if number + 1 < len(beginnings) else len(calls)
        last = next((place for place in range(first, until) if calls[place].place == walk.ends), None)
        way = calls[first : last + 1] if last is not None else []
        if number < WARM or all(call.place != walk.by_way_of for call in way):
            continue
        threads = {way[0].thread, way[-1].thread, *[_WRITES_LATER] * walk.deferred}
        yield [call for call in way if call.thread in threads]


def _tell(walk: Walk, way: Sequence[Call], with_calls: bool) -> None:
    machinery = sum(call.is_machinery for call in way)
    files = len({call.place[0] for call in way})
    print(f"{walk.name}: {len(way)} calls in {files} files, {machinery} of them machinery ({machinery / len(way):.0%})")
    if with_calls:
        for call in way:
            print(f"{(call.at - way[0].at) * 1000:8.2f} ms  {call.thread:24} {call.place[0]}: {call.place[1]}")


if __name__ == "__main__":
    sys.exit(main())
