"""The sum of many worlds, and the page that is kept of a long run (docs/worlds.md)."""

import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.mixes import FAMILIES, LATER_FAMILIES
from tests.simulation.runs import Report

_A_WORLD = """\
A world is the whole system (cloud, broker, agents, machines, provider, buyers) lived through in virtual time from one
seed: for five to twenty-five minutes anything may go wrong, then nothing does, and every order must come to its end.
What is real in it, what can go wrong and what is checked stands in [simulation.md](simulation.md). This page is written
by the run itself."""


@dataclass
class Sums:
    """What a range of worlds from `first` on came to."""

    first: int
    worlds: int = 0
    orders: int = 0
    cups: int = 0
    steps: int = 0
    lived_s: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    """In how many worlds each kind of fault struck."""
    failed: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        self.worlds += 1
        self.orders += report.orders
        self.cups += report.cups
        self.steps += report.steps
        self.lived_s += report.lived_s
        self.ends.update(report.ends)
        self.faults.update(dict(report.faults))
        self.hit.update(kind for kind, _ in report.faults)
        if report.broken:
            self.failed[report.seed] = report.broken

    @property
    def seeds(self) -> str:
        return f"{self.first} to {self.first + self.worlds - 1}"

    def summary(self, took_s: float) -> str:
        """One line."""
        pace = self.worlds / took_s * 60 if took_s else 0.0
        verdict = "every promise kept" if not self.failed else f"{len(self.failed)} worlds broke a promise"
        return (
            f"seeds {self.seeds}: {verdict}; {self.orders} orders, {self.cups} cups, {self.faults.total()} faults, "
            f"{self.lived_s / 3600:.0f} h lived in {took_s:.0f} s ({pace:.0f} worlds a minute)"
        )


def recorded(sums: Sums, took_s: float, processes: int) -> str:
    """The whole page, in Markdown."""
    return "\n".join([*_head(sums, took_s, processes), *_ends(sums), *_faults(sums), *_broken(sums), ""])


def _head(sums: Sums, took_s: float, processes: int) -> Iterable[str]:
    verdict = "Not every promise was kept (see the end)." if sums.failed else "Every promise was kept in every world."
    yield "# The last long run"
    yield ""
    yield f"**{verdict}** {sums.worlds:,} worlds, {sums.orders:,} orders, {sums.faults.total():,} faults."
    yield ""
    yield _A_WORLD
    yield ""
    yield "| | |"
    yield "|---|---|"
    command = f"python -m tests.simulation --from {sums.first} --count {sums.worlds} --record docs/worlds.md"
    yield f"| Command | `{command}` |"
    yield f"| Commit | `{_commit()}` |"
    yield f"| Seeds | {sums.seeds} |"
    yield f"| Worlds | {sums.worlds:,}, of which {len(sums.failed)} broke a promise |"
    yield f"| Orders | {sums.orders:,} |"
    yield f"| Cups poured for them | {sums.cups:,} |"
    yield f"| Faults that struck | {sums.faults.total():,}, {sums.faults.total() / max(1, sums.worlds):.0f} a world |"
    yield f"| Time lived | {sums.lived_s / 3600:,.0f} hours, in {sums.steps:,} steps |"
    yield (
        f"| Time it took | {took_s / 60:,.0f} minutes on {processes} processors, "
        f"{sums.worlds / took_s * 60 if took_s else 0:.0f} worlds a minute |"
    )


def _ends(sums: Sums) -> Iterable[str]:
    total = max(1, sums.ends.total())
    yield ""
    yield "## How the orders ended"
    yield ""
    yield "| Status, and why | orders | share |"
    yield "|---|---:|---:|"
    for end, number in sorted(sums.ends.items(), key=lambda one: (-one[1], one[0])):
        yield f"| {end} | {number:,} | {100 * number / total:.1f} % |"
    yield ""
    yield f"{sums.orders - sums.ends.total():,} buyers never got through to the cloud: no order, no money, no cup."


def _faults(sums: Sums) -> Iterable[str]:
    yield ""
    yield "## What went wrong"
    yield ""
    yield "| Family | Fault | strikes | worlds |"
    yield "|---|---|---:|---:|"
    for family, rates in (FAMILIES | LATER_FAMILIES).items():
        for kind in rates:
            yield f"| {family} | `{kind}` | {sums.faults[kind]:,} | {sums.hit[kind]:,} |"


def _broken(sums: Sums) -> Iterable[str]:
    if sums.failed:
        yield ""
        yield "## What was broken"
        yield ""
        for seed, broken in sorted(sums.failed.items()):
            yield f"- seed {seed}: {'; '.join(broken)}"


def _commit() -> str:
    """What was simulated; `+` marks changes nobody has committed."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
