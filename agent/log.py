"""How the agent writes its log: one line a fact, the order's and command's ids with it, as text or as JSON."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

_IDS = ("order_id", "command_id")


class Identified(Protocol):
    """Anything that names a command and its order."""

    @property
    def command_id(self) -> str: ...

    @property
    def order_id(self) -> str: ...


def about(subject: Identified) -> dict[str, str]:
    """The `extra` of a log line about this command."""
    return {"order_id": subject.order_id, "command_id": subject.command_id}


def start(env: Mapping[str, str], level: str | None = None) -> None:
    """Log to standard error; `COFFEE_AGENT_LOG` is `json` or `text`, by default text for a terminal."""
    form = env.get("COFFEE_AGENT_LOG") or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=(level or env.get("COFFEE_AGENT_LOG_LEVEL") or "INFO").upper(), handlers=[handler])


def formatter(form: str) -> logging.Formatter:
    """`json`, or anything else for text."""
    return _Json() if form == "json" else _Text()


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        ids = [f"{name}={getattr(record, name)}" for name in _IDS if hasattr(record, name)]
        first, *rest = super().format(record).split("\n")
        return "\n".join([" ".join([first, *ids]), *rest])


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fact = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fact |= {name: getattr(record, name) for name in _IDS if hasattr(record, name)}
        if record.exc_info:
            fact["exception"] = self.formatException(record.exc_info)
        return json.dumps(fact, ensure_ascii=False)
