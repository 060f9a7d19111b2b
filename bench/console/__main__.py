"""`python -m bench.console`: a million orders of a thousand machines, twenty people, five orders a second.

The cloud runs as it is deployed, on each database: real programs, real HTTP, orders arriving by webhook and poured by
real agents. First the orders alone, then with the people. 0 when the slow end (p95) of every page is within the limit.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import latency, surroundings
from bench.console import explaining, filling
from bench.console.pages import Fleet
from bench.console.people import Opened, People, Visitor
from bench.figures import Spread, percentile
from bench.latency import Latency
from bench.orders import Prepared, device_uuid, opened
from bench.parts import Part
from bench.stage import DATABASES, Deployment, Missing, Stage
from cloud.access import sessions, users
from cloud.access.acts import Role
from cloud.database.transaction import Transaction

LIMIT_MS = 300.0
ORDERS_A_SECOND = 5.0
AGENTS, DEVICES = 2, 20
ALONE_S = 20.0
SETTLES_S = 20.0
"""Pages opened so soon are not counted: a program that has just started reads each template at its first opening."""
ROLES: Sequence[Role | None] = (
    *[None] * 4, *[Role.OWNER] * 5, *[Role.SUPPORT] * 5, *[Role.MANAGER] * 2, Role.ACCOUNTANT, Role.VIEWER,
    *[Role.TECHNICIAN] * 2,
)  # fmt: skip
"""Of the twenty visitors."""


class FullStage(Stage):
    """With a history, and people who may see it."""

    fleet_size = Fleet(0, 0)
    visitors: list[Visitor]

    def _prepare_history(self) -> None:
        size = self.fleet_size
        with opened(self.database_url) as database:
            now = datetime.now(UTC)
            filling.fill(database, size.orders, size.machines, now)
            self.visitors = database.transact(_people, size, now)


@dataclass(frozen=True)
class Measured:
    """One database."""

    alone: Latency
    together: Latency
    opened: Sequence[Opened]


def main(arguments: list[str] | None = None) -> int:
    """0 when the slow end of every page is within the limit."""
    parser = argparse.ArgumentParser(prog="bench.console", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=95.0, help="how long people click")
    parser.add_argument("--explain", metavar="PAGE", help="how the database answers pages of this name; nobody clicks")
    options = parser.parse_args(arguments)
    size = Fleet(options.orders, options.machines)
    if options.explain is not None:
        for name in options.databases:
            explaining.explain(Deployment(name), size, options.explain)
        return 0
    print(f"{surroundings.machine()}; {surroundings.software()}; commit {surroundings.commit()}")
    worst = 0.0
    for name in options.databases:
        try:
            found = _measure(Deployment(name), size, options.seconds)
        except Missing as missing:
            print(f"{name} left out: {missing}", file=sys.stderr)
            continue
        worst = max(worst, *_print_pages(found.opened))
        print(f"  webhook to first byte, p50 / p99 ms: alone {_told(found.alone)}, with people {_told(found.together)}")
    return 0 if 0 < worst < LIMIT_MS else 1


def _measure(deployment: Deployment, size: Fleet, seconds: float) -> Measured:
    stage_of = type("Stage", (FullStage,), {"fleet_size": size})
    count = int(ORDERS_A_SECOND * (ALONE_S + seconds))
    prepared = [Prepared(number, device_uuid(number % DEVICES)) for number in range(count)]
    before = int(ORDERS_A_SECOND * ALONE_S)
    began = time.monotonic()
    with stage_of(deployment, AGENTS, DEVICES, prepared, "on_dispense") as stage:
        filled = time.monotonic() - began
        print(
            f"\n{deployment}: {size.orders} orders of {size.machines} machines; ready after {filled:.0f} s", flush=True
        )
        alone = latency.measure(stage, prepared[:before], ORDERS_A_SECOND)
        used = stage.served_with()
        with Part("people", People, stage.cloud_url, stage.visitors, size) as people:
            clicking = time.monotonic()
            together = latency.measure(stage, prepared[before:], ORDERS_A_SECOND)
            found = [one for one in people.take() if one.at_s >= SETTLES_S]
            clicked, counted = time.monotonic() - clicking, time.monotonic() - clicking - SETTLES_S
        busy = (stage.served_with() - used) / clicked
        print(f"  {len(stage.visitors)} people opened {len(found) / counted:.1f} pages a second; cloud and database "
              f"had {busy:.1f} processors; load average {os.getloadavg()[0]:.1f} of {os.cpu_count()}")  # fmt: skip
    return Measured(alone, together, found)


def _print_pages(found: Iterable[Opened]) -> list[float]:
    """The pages, the slowest first; their slow ends in milliseconds."""
    by_page: dict[tuple[str, bool], list[Opened]] = {}
    for one in found:
        by_page.setdefault((one.page, one.is_admin), []).append(one)
    slow = {key: _slow_end(each) for key, each in by_page.items()}
    for key in sorted(slow, key=lambda key: -slow[key]):
        each = by_page[key]
        failed = _failed(each)
        middle = statistics.median(one.seconds for one in each) * 1000
        mark = "!" if slow[key] >= LIMIT_MS else " "
        words = f", refused or failed: {failed}" if failed else ""
        who = "admin" if key[1] else "people"
        longest = max(each, key=lambda one: one.seconds)
        print(f"{mark} {key[0]:34} {who:7} {len(each):4} times  p50 {middle:7.1f}  p95 {slow[key]:7.1f} ms, "
              f"the longest {longest.seconds * 1000:.0f} after {longest.at_s:.0f} s{words}")  # fmt: skip
    return list(slow.values())


def _slow_end(each: Sequence[Opened]) -> float:
    return percentile(sorted(one.seconds for one in each), 0.95) * 1000


def _failed(each: Iterable[Opened]) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    for one in each:
        if one.status not in {200, 204, 303}:
            counts[one.status] = counts.get(one.status, 0) + 1
    return counts


def _told(found: Latency) -> str:
    chain: Spread | None = found.chain
    return f"{chain.p50:.1f} / {chain.p99:.1f}" if chain else "nothing"


def _people(tx: Transaction, size: Fleet, now: datetime) -> list[Visitor]:
    for shop in range(filling.MERCHANTS):  # first, so that each shop's first member has a number of its own
        guest = users.add(tx, f"guest{shop}@example.com", "Guest", now, asks_second_factor=False)
        users.give_role(tx, guest.id, f"shop-{shop}", Role.VIEWER)
        tx.session.flush()
    found = []
    for number, role in enumerate(ROLES):
        shop = number % filling.MERCHANTS
        name = f"person{number}@example.com"
        user = users.add(tx, name, name, now, is_admin=role is None, asks_second_factor=False)
        if role is not None:
            own = [f"m-{n}" for n in range(shop, size.machines, filling.MERCHANTS)][:100]
            users.give_role(tx, user.id, f"shop-{shop}", role, own if role is Role.TECHNICIAN else None)
        found.append(Visitor(sessions.begin(tx, user, "", "bench", now, complete=True), shop, role))
    return found


if __name__ == "__main__":
    sys.exit(main())
