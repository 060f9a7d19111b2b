"""A frame as a machine that words things its own way would say it: the same facts, none of the words agreed upon.

The order meant, whether it was done and what came out stay as they are; a `ready` machine still says that it is ready.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from protocol import json_text
from protocol.frames import Frame


def _level(value: Any) -> Any:
    return "error" if value == "block" else value


def _state(value: Any) -> Any:
    return "нужен мастер" if value in ("fault", "service") else value


_WORDED: Mapping[str, Callable[[Any], Any]] = {
    "code": lambda value: f"vendor:{value}, смотри инструкцию!",
    "level": _level,
    "state": _state,
    "drinks": lambda value: value or None,
    "why": lambda _: "brown out",
    "lastPhase": lambda _: "who knows",
    "stage": lambda _: "swirling",
    **dict.fromkeys(("boots", "total", "paid", "free", "test", "up"), float),
}


def worded(frame: Frame) -> Frame:
    said: dict[str, Any] = json_text.decode(frame.body, dict[str, Any])
    own = {key: _WORDED[key](value) if key in _WORDED else value for key, value in said.items()}
    return Frame(frame.command, msgspec.json.encode(own))
