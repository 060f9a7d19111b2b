"""How many orders a second the cloud carries from webhook to outcome when it always has more to do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.orders import Prepared
from bench.stage import Stage
from bench.webhooks import Notifier

CONNECTIONS = 32
OUTSTANDING = 64
"""Orders between their webhook and their outcome at any time: more would only wait longer."""
WARM_UP_S = 1.5
DRAIN_S = 15.0


@dataclass(frozen=True)
class Maximum:
    """Orders a second over `seconds`, after the warm-up; `posted` in all."""

    seconds: float
    posted: int
    outcomes_a_second: float
    """Commands poured and the cloud holding their outcome."""
    commands_a_second: float
    unfinished: int
    """Posted orders without an outcome long after the last webhook."""
    repeated: int
    captures_behind: int
    """Holds not yet captured at the last outcome; 0 where payments are captured at once."""
    cpu: dict[str, float]
    """Milliseconds of processor each program needed for one order: what a busy machine changes least."""


def measure(stage: Stage, plan: Sequence[Prepared], seconds: float) -> Maximum:
    """Keep `OUTSTANDING` orders under way for so long."""
    for part in (stage.provider, stage.fleet, stage.machines):
        part.take()
    while stage.permits.acquire(block=False):
        pass
    for _ in range(OUTSTANDING):
        stage.permits.release()
    notifier = Notifier(stage.cloud_url, stage.capture, CONNECTIONS)
    cpu = stage.cpu()
    start = time.time()
    posted = notifier.as_permitted(plan, stage.permits, WARM_UP_S + seconds)
    end = time.time()
    spent = {name: now - cpu[name] for name, now in stage.cpu().items()}
    notifier.finish()
    commanded: list[float] = []
    receipted: list[float] = []
    repeated = 0
    while len(receipted) < posted and time.time() < end + DRAIN_S:
        taken = stage.fleet.take()
        commanded += taken.commanded.values()
        receipted += taken.receipted
        repeated += taken.repeated
        time.sleep(0.1)
    captured = stage.provider.take().captured.keys() & {order.number for order in plan}
    begin = start + WARM_UP_S
    length = end - begin
    return Maximum(
        seconds=round(length, 1),
        posted=posted,
        outcomes_a_second=round(sum(begin <= at < end for at in receipted) / length, 1),
        commands_a_second=round(sum(begin <= at < end for at in commanded) / length, 1),
        unfinished=max(0, posted - len(receipted)),
        repeated=repeated,
        captures_behind=0 if stage.capture == "immediate" else posted - len(captured),
        cpu={name: round(1000 * used / max(1, posted), 2) for name, used in spent.items()},
    )
