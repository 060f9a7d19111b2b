"""What does it cost while nobody buys anything? `python -m bench.idle`: processor time and bytes written, at rest.

The real programs, deployed in each way there is, with an agent and its machine beside them.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.stage import Deployment, Missing, Stage

SETTLE_S = 15.0
"""What a start leaves to be done is done by then."""
MOST_PERCENT = 1.0
MOST_KIB_A_SECOND = 1.0
"""What is promised of the cloud's programs together, and of an agent."""


@dataclass(frozen=True)
class Rest:
    """One program at rest."""

    percent: float
    """Of one processor."""
    kib_a_second: float


def measure(stage: Stage, seconds: float) -> dict[str, Rest]:
    """What each program used while nothing happened for so long."""
    cpu, written, began = stage.cpu(), stage.written(), time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    return {
        name: Rest(
            round(100 * (used - cpu[name]) / lasted, 2),
            round((stage.written()[name] - written[name]) / 1024 / lasted, 2),
        )
        for name, used in stage.cpu().items()
        if name in written
    }


def judged(rests: Mapping[str, Rest]) -> dict[str, Rest]:
    """The cloud as a whole, and each agent: what the promise is about."""
    cloud = [rest for name, rest in rests.items() if name.startswith("cloud ")]
    whole = Rest(round(sum(r.percent for r in cloud), 2), round(sum(r.kib_a_second for r in cloud), 2))
    return {"cloud": whole} | {name: rest for name, rest in rests.items() if name.startswith("agent ")}


def keeps(rests: Iterable[Rest]) -> bool:
    """Whether all of these keep the promise."""
    return all(rest.percent < MOST_PERCENT and rest.kib_a_second < MOST_KIB_A_SECOND for rest in rests)


def table(found: Mapping[str, Mapping[str, Rest]]) -> str:
    """Markdown that is readable as it is."""
    lines = ["| at rest | processor, % | written, KiB/s |", "| --- | ---: | ---: |"]
    for deployment, rests in found.items():
        both = judged(rests) | {f"· {name}": rest for name, rest in rests.items() if not name.startswith("agent ")}
        lines += [f"| {deployment}: {name} | {r.percent:.2f} | {r.kib_a_second:.2f} |" for name, r in both.items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0 when the promise is kept, 1 when it is not."""
    parser = argparse.ArgumentParser(prog="bench.idle", description=__doc__)
    parser.add_argument("--deployments", nargs="+", choices=[str(d) for d in Deployment], default=list(Deployment))
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is watched (60)")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds it is left alone before")
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", default=Path(__file__).with_name("results"), help="where the JSON goes"
    )
    parser.add_argument("--no-record", dest="record", action="store_const", const=None, help="only print")
    options = parser.parse_args(arguments)
    found: dict[str, dict[str, Rest]] = {}
    for name in options.deployments:
        try:
            with Stage(Deployment(name), 1, 2, [], "on_dispense") as stage:
                time.sleep(options.settle)
                found[str(name)] = measure(stage, options.seconds)
        except Missing as missing:
            print(f"{name} left out: {missing}", file=sys.stderr)
    print(table(found))
    if options.record:
        _record(found, options.record)
    return 0 if found and all(keeps(judged(rests).values()) for rests in found.values()) else 1


def _record(found: Mapping[str, Mapping[str, Rest]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"idle-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
    results = {name: {program: asdict(rest) for program, rest in rests.items()} for name, rests in found.items()}
    told = {"machine": f"{os.cpu_count()} processors", "python": sys.version.split()[0], "results": results}
    path.write_text(json.dumps(told, indent=1) + "\n")
    print(f"recorded in {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
