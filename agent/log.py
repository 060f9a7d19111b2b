"""How the agent writes its log: one line a fact, the order's and command's ids with it, as text or as JSON."""

import json
import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from agent.clock import SystemClock
from agent.rate_limit import Pace

_IDS = ("order_id", "command_id")
_FORM, _LEVEL = "COFFEE_AGENT_LOG", "COFFEE_AGENT_LOG_LEVEL"
FORMS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Lowest level of ours, and what syslog calls it."""


BURST, CALM_S = 30, 10.0
"""So often in a row, then so seldom, is the same thing logged."""
KINDS_KNOWN = 1_000


class Identified(Protocol):
    """Anything that names a command and its order."""

    @property
    def command_id(self) -> str: ...

    @property
    def order_id(self) -> str: ...


def about(subject: Identified) -> dict[str, str]:
    """The `extra` of a log line about this command."""
    return {"order_id": subject.order_id, "command_id": subject.command_id}


def problems(env: Mapping[str, str]) -> list[str]:
    """What is wrong with the settings of the log."""
    found = []
    if (form := env.get(_FORM)) and form not in FORMS:
        found.append(f"{_FORM}: {form!r} is not {' or '.join(FORMS)}")
    if (level := env.get(_LEVEL)) and level.upper() not in LEVELS:
        found.append(f"{_LEVEL}: {level!r} is none of {', '.join(LEVELS)}")
    return found


class Moderation(logging.Filter):
    """One and the same complaint a few times, then seldom, with how many like it were left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._often: OrderedDict[tuple[str, str, str], tuple[Pace, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """By the words in the code, not by what is put into them: that is the machine's, or a stranger's."""
        if record.levelno < logging.INFO:
            return True
        key = (record.name, str(record.msg), str(getattr(record, "command_id", "")))
        with self._lock:
            pace, silenced = self._often.pop(key, (Pace(BURST, CALM_S), 0))
            is_told = pace.allows(self._clock())
            self._often[key] = (pace, 0 if is_told else silenced + 1)
            while len(self._often) > KINDS_KNOWN:
                self._often.popitem(last=False)
        if is_told and silenced:
            record.msg = f"{record.msg} (and {silenced} more like it)"
        return is_told


def start(env: Mapping[str, str], level: str | None = None) -> None:
    """Log to standard error; `COFFEE_AGENT_LOG` is `json` or `text`, by default text for a terminal.

    Into systemd's journal each line goes with its priority, which the journal takes off and files.
    """
    form = env.get(_FORM) or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(_Prioritized(formatter(form)) if "JOURNAL_STREAM" in env else formatter(form))
    handler.addFilter(Moderation(SystemClock().monotonic))
    logging.basicConfig(level=(level or env.get(_LEVEL) or "INFO").upper(), handlers=[handler])


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


class _Prioritized(logging.Formatter):
    """`<3>` and the like before each line, as sd-daemon(3) has it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        level = next((number for least, number in _PRIORITIES if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in self._inner.format(record).split("\n"))
