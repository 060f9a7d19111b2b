"""`python -m bench.growth`: does an old database make orders slower? The chain on an empty one, then on a full one."""

import argparse
import sys
from dataclasses import replace

from bench import campaign, interpreter
from bench.campaign import DEFAULT, Length, Result
from bench.stage import DATABASES, Deployment, Missing, Stage


def main(arguments: list[str] | None = None) -> int:
    """0 when it was measured."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--old", type=int, default=300_000, help="finished orders")
    parser.add_argument("--seconds", type=float, default=8.0, help="at 50 orders/s, and at full load")
    parser.add_argument("--memory", action="store_true", help="all files on a disk in memory")
    options = parser.parse_args(arguments)
    if options.memory:
        interpreter.use_memory()
    length = replace(
        DEFAULT, rates=(50.0,), seconds=options.seconds, maximum_seconds=options.seconds, idle_seconds=0.0,
        buyers_seconds=0.0,
    )  # fmt: skip
    figures = ("webhook to first byte at 50/s, p50 / p99 ms", "orders/s", "processor an order, ms", "status reads/s")
    print(f"| database, old orders | {' | '.join(figures)} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    found = 0
    for name in options.databases:
        for old in (0, options.old):
            try:
                print(_told(name, old, _measure(Deployment(name), old, length)), flush=True)
                found += 1
            except Missing as missing:
                print(f"{name} left out: {missing}", file=sys.stderr)
    return 0 if found else 1


def _measure(deployment: Deployment, old: int, length: Length) -> Result:
    stage = type("Stage", (Stage,), {"past": old})
    return campaign.run(deployment, length, 2, "on_dispense", _say, stage)


def _told(name: str, old: int, result: Result) -> str:
    [latency], most = result.latencies, result.maximum
    chain = f"{latency.chain.p50:.1f} / {latency.chain.p99:.1f}" if latency.chain else ""
    cpu = sum(ms for part, ms in most.cpu.items() if part.startswith(("cloud ", "postgresql"))) if most else 0.0
    reads = next((asked.a_second for asked in result.reads if asked.callers > 1 and not asked.knows), 0.0)
    return f"| {name}, {old} | {chain} | {most.outcomes_a_second if most else 0:.0f} | {cpu:.1f} | {reads:.0f} |"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
