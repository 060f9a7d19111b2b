"""The results as one table, as JSON, and as the table in this folder's README."""

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import postgres
from bench.campaign import Result
from bench.figures import Spread
from bench.idle import judged

MARK = re.compile(r"(<!-- results -->\n).*(<!-- end of results -->)", re.DOTALL)
EMPTY = "<!-- results -->\n<!-- end of results -->\n"


@dataclass(frozen=True)
class Report:
    """Results, and what is needed to believe or repeat them."""

    at: datetime
    command: str
    commit: str
    machine: str
    software: str
    load_before: float | None
    """The load average when it was over: far above the processors' number, somebody else was working too."""
    results: tuple[Result, ...]

    @classmethod
    def of(cls, results: Sequence[Result], arguments: Sequence[str]) -> "Report":
        """With today's date and this machine."""
        return cls(
            at=datetime.now(UTC).replace(microsecond=0),
            command=" ".join(["python3 run.py bench", *arguments]),
            commit=_said("git", "rev-parse", "--short", "HEAD") or "unknown",
            machine=machine(),
            software=software(),
            load_before=round(os.getloadavg()[2], 1) if hasattr(os, "getloadavg") else None,
            results=tuple(results),
        )


def table(report: Report) -> str:
    """Markdown that is readable as it is."""
    lines = [f"{report.at:%Y-%m-%d %H:%M} UTC, commit {report.commit}, `{report.command}`", ""]
    lines += [f"{report.machine}; {report.software}; load average over 15 min {report.load_before}", ""]
    names = [result.deployment for result in report.results]
    lines += [_row("", *names), _row("---", *("---:" for _ in names))]
    columns = [dict(_figures(result)) for result in report.results]
    for name in dict.fromkeys(name for column in columns for name in column):
        lines.append(_row(name, *(column.get(name, "") for column in columns)))
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


def _figures(result: Result) -> Iterator[tuple[str, str]]:
    for latency in result.latencies:
        at = f"at {latency.orders_a_second:g}/s"
        yield f"webhook to first byte, {at}: p50 / p99 ms", _pair(latency.chain)
        yield f"webhook to command at the broker, {at}: p50 / p99 ms", _pair(latency.cloud)
        yield f"webhook answered, {at}: p50 / p99 ms", _pair(latency.webhook)
        for name, cut in latency.segments.items():
            yield f"· {name}, {at}: p50 / p99 ms", _pair(cut)
        yield f"provider's own time (taken out), {at}: p50 / p99 ms", _pair(latency.provider)
    if result.maximum is not None:
        yield "sustained maximum, orders/s", f"{result.maximum.outcomes_a_second:.0f}"
        for name, milliseconds in result.maximum.cpu.items():
            yield f"· processor for one order, {name}, ms", f"{milliseconds:.1f}"
        yield "holds not captured yet at its end", str(result.maximum.captures_behind)
    for name, rest in judged(result.idle).items() if result.idle else ():
        yield f"at rest, {name}: processor, % / written, KiB/s", f"{rest.percent:.2f} / {rest.kib_a_second:.2f}"
    yield "agent's start to its presence, ms", f"{result.agent_start.p50:.0f}" if result.agent_start else ""
    for name, weight in result.memory_after.items():
        if weight is not None:
            yield f"memory of {name}, MiB", f"{weight.pss:.0f}" if weight.processes > 1 else f"{weight.rss:.0f}"
    yield "orders poured / paid", f"{result.statuses.get('successful', 0)} / {result.posted}"


def _pair(found: Spread | None) -> str:
    return f"{found.p50:.1f} / {found.p99:.1f}" if found else ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def machine() -> str:
    """Its processors."""
    return f"{os.cpu_count()} processors, {_processor()}"


def software() -> str:
    """What is measured through."""
    found = postgres.find()
    parts = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    if found is not None:
        parts.append(_said(str(found), "--version").split("(")[0].strip())
    broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    parts.append(_said(broker, "-h").partition("\n")[0].capitalize())
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"model name\s*:\s*(.+)", told)
    return model[1] if model else platform.machine()


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
