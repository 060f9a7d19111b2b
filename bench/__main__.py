"""`python3 run.py bench`: measures the chain against both databases, prints one table, records the results."""

import argparse
import sys
from pathlib import Path

from bench import bare, interpreter, report
from bench.campaign import DEFAULT, Length, run
from bench.stage import UNDER_WORK, Deployment, Missing


def main(arguments: list[str] | None = None) -> int:
    """0 when every order ended as it should, 1 when one did not."""
    options = _parser().parse_args(arguments)
    length = Length(
        tuple(options.rates), options.seconds, options.maximum_seconds, options.maximum_orders, options.idle_seconds,
        options.reads_seconds, options.buyers_seconds,
    )  # fmt: skip
    if options.memory:
        interpreter.use_memory()
    results, beside = [], []
    for name in options.databases * options.turns:
        try:
            results.append(run(Deployment(name), length, options.agents, options.capture, _say))
            if options.bare:
                _say(f"{name}: the bare chain")
                beside.append(bare.run(Deployment(name), length))
        except Missing as missing:
            _say(f"{name} left out: {missing}")
    if not results:
        return 1
    recorded = report.Report.of(results, beside, sys.argv[1:] if arguments is None else arguments)
    print(report.table(recorded))
    if options.record:
        path = report.record(recorded, options.record)
        _say(f"recorded in {path}")
    return 0 if all(result.all_successful for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=UNDER_WORK, default=UNDER_WORK)
    parser.add_argument(
        "--rates", nargs="*", type=float, default=list(DEFAULT.rates), help="orders a second for the latency"
    )
    parser.add_argument("--seconds", type=float, default=DEFAULT.seconds, help="how long at each rate")
    parser.add_argument(
        "--maximum-seconds", type=float, default=DEFAULT.maximum_seconds, help="how long at full load; 0 leaves it out"
    )
    parser.add_argument(
        "--maximum-orders", type=int, default=DEFAULT.maximum_orders, help="a second, prepared for the full load"
    )
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=DEFAULT.idle_seconds,
        help="how long it is watched at rest; 0 leaves it out",
    )
    parser.add_argument("--reads-seconds", type=float, default=DEFAULT.reads_seconds, help="how long each way to ask")
    parser.add_argument("--buyers-seconds", type=float, default=DEFAULT.buyers_seconds, help="the predecessor's load")
    parser.add_argument("--turns", type=int, default=1, help="all of it so often, in turn; the table shows medians")
    parser.add_argument("--no-bare", dest="bare", action="store_false", help="without the bare chain beside it")
    parser.add_argument("--memory", action="store_true", help="all files on a disk in memory, where syncing is free")
    parser.add_argument("--agents", type=int, default=2, help="real agents, each with a machine on a pty")
    parser.add_argument(
        "--capture", choices=["immediate", "on_dispense"], default="on_dispense", help="hold the money until poured?"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", default=Path(__file__).parent, help="where results/ and README.md are"
    )
    parser.add_argument("--no-record", dest="record", action="store_const", const=None, help="only print")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
