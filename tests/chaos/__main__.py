"""`python3 run.py chaos`: real programs, real broker and database, killed and stopped at random; the promises checked.

Exit codes: 0 every promise was kept, 1 one was broken, 2 wrong usage or a missing real part.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.campaign import Options, a_campaign, a_seed
from tests.chaos.timeline import Timeline
from tests.mosquitto import a_mosquitto
from tests.postgres import a_postgres_server
from tests.real_parts import MOSQUITTO, POSTGRES


def main(arguments: list[str] | None = None) -> int:
    """Run one campaign and tell about it."""
    options, folder = _options(arguments)
    for part in (MOSQUITTO, POSTGRES):
        if part.where is None:
            print(part, file=sys.stderr)
            return 2
    if MOSQUITTO.is_address:
        print("chaos kills the broker, so it must be a program of this machine, not an address", file=sys.stderr)
        return 2
    for name in [name for name in os.environ if name.startswith("COFFEE_")]:
        del os.environ[name]  # settings of whoever runs this must not reach the programs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: in order
    place = folder or Path(tempfile.mkdtemp(prefix="coffee-chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    is_good = _run(options, place)
    if is_good and folder is None:
        shutil.rmtree(place)
    else:
        print(f"Logs are kept in {place}", flush=True)
    return 0 if is_good else 1


def _run(options: Options, place: Path) -> bool:
    with ExitStack() as closing:
        database = closing.enter_context(a_postgres_server())
        url = closing.enter_context(database.fresh_database())
        broker = closing.enter_context(a_mosquitto(place / "broker"))
        memory = place / "broker" / "mosquitto.db"
        timeline = Timeline(lambda line: print(line, flush=True))
        campaign = closing.enter_context(a_campaign(options, place, broker, memory, url, timeline))
        campaign.trouble()
        result = campaign.settle()
        print(campaign.tell(result), flush=True)
        (place / "timeline.txt").write_text(timeline.whole(), encoding="utf-8")
        return not result.broken


def _options(arguments: list[str] | None) -> tuple[Options, Path | None]:
    parser = argparse.ArgumentParser(prog="run.py chaos", description=__doc__)
    parser.add_argument("--minutes", type=_above_zero, default=5.0, help="how long the trouble lasts (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the deeds and the buyers' ways (any)")
    parser.add_argument("--agents", type=_count, default=10, help="machines, each with an agent and a buyer")
    parser.add_argument("--webs", type=_count, default=2, help="web processes (%(default)s)")
    parser.add_argument("--workers", type=_count, default=2, help="worker processes (%(default)s)")
    parser.add_argument("--every", type=_above_zero, default=2.0, help="seconds between two deeds, on average")
    parser.add_argument("--settle", type=_above_zero, default=420.0, help="seconds for all orders to end afterwards")
    parser.add_argument("--folder", type=Path, help="where its files and logs go, kept (else a temporary one)")
    given = parser.parse_args(arguments)
    seed = a_seed() if given.seed is None else given.seed
    options = Options(
        seed, given.minutes * 60, given.agents, given.webs, given.workers, given.every, settle_s=given.settle
    )
    return options, given.folder


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10**6:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 100):
        raise argparse.ArgumentTypeError(f"a number from 1 to 100, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
