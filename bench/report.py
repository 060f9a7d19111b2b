"""The results as one table, as JSON, and as the table in this folder's README."""

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import surroundings
from bench.bare import Bare
from bench.campaign import Result
from bench.figures import Spread
from bench.idle import judged
from bench.reads import Reads

MARK = re.compile(r"(<!-- results -->\n).*(<!-- end of results -->)", re.DOTALL)
EMPTY = "<!-- results -->\n<!-- end of results -->\n"
Figure = tuple[float, ...]
"""One number, or the two of a pair."""


@dataclass(frozen=True)
class Report:
    """Results of each turn, and what is needed to believe or repeat them."""

    at: datetime
    command: str
    commit: str
    machine: str
    software: str
    load_before: float | None
    """The load average when it was over: far above the processors' number, somebody else was working too."""
    results: tuple[Result, ...]
    bare: tuple[Bare, ...]

    @classmethod
    def of(cls, results: Sequence[Result], bare: Sequence[Bare], arguments: Sequence[str]) -> "Report":
        """With today's date and this machine."""
        return cls(
            at=datetime.now(UTC).replace(microsecond=0),
            command=" ".join(["python3 run.py bench", *arguments]),
            commit=surroundings.commit(),
            machine=surroundings.machine(),
            software=surroundings.software(),
            load_before=surroundings.load(),
            results=tuple(results),
            bare=tuple(bare),
        )


def table(report: Report) -> str:
    """Markdown that is readable as it is: medians over the turns, and beside them how often the bare chain's."""
    lines = [f"{report.at:%Y-%m-%d %H:%M} UTC, commit {report.commit}, `{report.command}`", ""]
    lines += [f"{report.machine}; {report.software}; load average over 15 min {report.load_before}", ""]
    names = list(dict.fromkeys(result.deployment for result in report.results))
    ours = {name: _medians([dict(_figures(r)) for r in report.results if r.deployment == name]) for name in names}
    bare = {name: _medians([dict(_of_bare(b)) for b in report.bare if b.deployment == name]) for name in names}
    headings = [cell for name in names for cell in (name, "× bare")]
    lines += [_row("", *headings), _row("---", *("---:" for _ in headings))]
    for figure in dict.fromkeys(figure for columns in ours.values() for figure in columns):
        cells = [c for name in names for c in _cells(ours[name].get(figure), bare[name].get(figure))]
        lines.append(_row(figure, *cells))
    return "\n".join(lines)


def record(report: Report, folder: Path) -> Path:
    """Write `results/<date>.json` and the README's table; the JSON's path."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{report.at:%Y%m%dT%H%M%S}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else EMPTY
    readme.write_text(MARK.sub(lambda found: f"{found[1]}{table(report)}\n{found[2]}", text), encoding="utf-8")
    return path


def _figures(result: Result) -> Iterator[tuple[str, Figure]]:
    for latency in result.latencies:
        at = f"at {latency.orders_a_second:g}/s: p50 / p99 ms"
        yield f"webhook to first byte, {at}", _pair(latency.chain)
        yield f"webhook to command at the broker, {at}", _pair(latency.cloud)
        yield f"webhook answered, {at}", _pair(latency.webhook)
        for name, cut in latency.segments.items():
            yield f"· {name}, {at}", _pair(cut)
        yield f"provider's own time (taken out), {at}", _pair(latency.provider)
    if result.maximum is not None:
        yield "sustained maximum, orders/s", (result.maximum.outcomes_a_second,)
        for name, milliseconds in result.maximum.cpu.items():
            yield f"· processor for one order, {name}, ms", (milliseconds,)
        served = [ms for name, ms in result.maximum.cpu.items() if name.startswith(("cloud ", "postgresql"))]
        yield "processor for one order, cloud and database, ms", (sum(served),)
        yield "holds not captured yet at its end", (float(result.maximum.captures_behind),)
    yield from _of_reads(result.reads)
    if result.bought is not None:
        yield "predecessor's load: orders/s of 32 buyers", (result.bought.orders_a_second,)
        yield "predecessor's load: paid to seen, p50 / p99 ms", _pair(result.bought.paid_to_seen)
    for name, rest in judged(result.idle).items() if result.idle else ():
        yield f"at rest, {name}: processor, % / written, KiB/s", (rest.percent, rest.kib_a_second)
    yield "agent's start to its presence, ms", (result.agent_start.p50,) if result.agent_start else ()
    for name, weight in result.memory_after.items():
        if weight is not None:
            yield f"memory of {name}, MiB", (weight.pss if weight.processes > 1 else weight.rss,)
    yield "orders poured / paid", (float(result.statuses.get("successful", 0)), float(result.posted))


def _of_bare(bare: Bare) -> Iterator[tuple[str, Figure]]:
    for rate, chain in bare.chain.items():
        yield f"webhook to first byte, at {rate}: p50 / p99 ms", _pair(chain)
    yield "sustained maximum, orders/s", (bare.maximum,)
    yield "processor for one order, cloud and database, ms", (bare.cpu_ms,)
    yield from _of_reads(bare.reads)


def _of_reads(found: Sequence[Reads]) -> Iterator[tuple[str, Figure]]:
    for asked in found:
        what = "of what is known" if asked.knows else "of the order"
        yield f"status reads {what}, {asked.callers} callers, a second", (asked.a_second,)
        yield f"· processor for one, {what}, {asked.callers} callers, ms", (asked.cpu_ms,)


def _medians(turns: Sequence[Mapping[str, Figure]]) -> dict[str, Figure]:
    names = dict.fromkeys(name for turn in turns for name in turn)
    told = {name: [turn[name] for turn in turns if turn.get(name)] for name in names}
    return {name: tuple(statistics.median(each) for each in zip(*found, strict=True)) for name, found in told.items()}


def _cells(figure: Figure | None, bare: Figure | None) -> tuple[str, str]:
    told = " / ".join(map(_number, figure or ()))
    if not figure or not bare or not all(bare):
        return told, ""
    return told, " / ".join(f"{ours / its:.2f}" for ours, its in zip(figure, bare, strict=True))


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _pair(found: Spread | None) -> Figure:
    return (found.p50, found.p99) if found else ()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
