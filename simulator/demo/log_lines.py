"""What cloud and agent have logged about one order, in one order and one form: the lines of docs/one-coffee.md."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SAID_FIRST = ("at", "level", "logger", "message", "order_id")


def about(order_id: str, logs: Iterable[Path]) -> list[str]:
    """A line a fact, oldest first. `logs` hold JSON lines; what is none (a traceback) is no fact about an order."""
    told = [fact for log in logs for fact in _facts(log) if fact.get("order_id") == order_id]
    return [_line(fact) for fact in sorted(told, key=lambda fact: str(fact["at"]))]


def _facts(log: Path) -> Iterable[dict[str, Any]]:
    for line in log.read_text("utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _line(fact: dict[str, Any]) -> str:
    moment = str(fact["at"])[len("2026-01-01T") : len("2026-01-01T00:00:00.000")]
    rest = [f"{name}={value}" for name, value in fact.items() if name not in _SAID_FIRST and value not in {"", None}]
    return " ".join([moment, f"{fact['logger']}: {fact['message'].strip()}", *rest])
