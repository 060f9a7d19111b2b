"""`python -m tests.simulation --seed N` tells one world; `--from A --count N` many, `--endless` until stopped.

Exit 0 when every promise was kept, 1 when one was broken, 2 when asked wrongly.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from tests.simulation.recording import Sums, recorded
from tests.simulation.runs import processes_here, run
from tests.simulation.shrinking import shrink
from tests.simulation.told import Told
from tests.simulation.workshop import Workshop

LAST_LINES = 60
TELL_EVERY = 500
MOST_FAILURES_TOLD = 5


def main(arguments: list[str]) -> int:
    asked = _read(arguments)
    if asked.seed is not None:
        return tell_one(asked.seed, lines=None if asked.whole else LAST_LINES, shrinks=not asked.no_shrink)
    return tell_many(asked.first, None if asked.endless else asked.count, asked.processes, asked.record)


def tell_one(seed: int, lines: int | None, shrinks: bool) -> int:
    """One world and, when it broke a promise, the fewest faults that do the same."""
    with Workshop() as workshop:
        told = workshop.tell(seed)
        _show(told, lines)
        if told.broken and shrinks and told.struck:
            fewer = shrink(workshop, told)
            print(f"\nwith {len(fewer.struck)} of its {len(told.struck)} faults: {', '.join(fewer.struck) or 'none'}\n")
            _show(fewer, lines)
    return 1 if told.broken else 0


def tell_many(first: int, count: int | None, processes: int, record: Path | None) -> int:
    """A range of worlds, or all from `first` on until stopped."""
    seeds = itertools.count(first) if count is None else range(first, first + count)
    started = time.monotonic()
    sums = Sums(first)
    try:
        for report in run(seeds, processes):
            sums.add(report)
            if report.broken:
                print(f"seed {report.seed}: {'; '.join(report.broken)}", flush=True)
            if sums.worlds % TELL_EVERY == 0:
                print(sums.summary(time.monotonic() - started), flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    took_s = time.monotonic() - started
    print(sums.summary(took_s))
    for seed in list(sums.failed)[:MOST_FAILURES_TOLD]:
        print(f"  python -m tests.simulation --seed {seed}")
    if record is not None:
        record.write_text(recorded(sums, took_s, processes or processes_here()), encoding="utf-8")
    return 1 if sums.failed else 0


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="tell this one world")
    parser.add_argument("--whole", action="store_true", help="with --seed: the whole timeline, not only its end")
    parser.add_argument("--no-shrink", action="store_true", help="with --seed: do not look for the fewest faults")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed of a range")
    parser.add_argument("--count", type=int, default=200, help="how many worlds")
    parser.add_argument("--endless", action="store_true", help="never stop by itself")
    parser.add_argument("--processes", type=int, default=0, help="0: one for each processor")
    parser.add_argument("--record", type=Path, help="write the result into this file")
    return parser.parse_args(arguments)


def _show(told: Told, lines: int | None) -> None:
    print(told.timeline.text(lines))
    print(f"\nseed {told.seed}: {told.orders} orders, {told.cups} cups, {len(told.struck)} faults, "
          f"{told.lived_s:.0f} s lived, timeline {told.digest[:16]}")  # fmt: skip
    for broken in told.broken:
        print(f"  {broken}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
