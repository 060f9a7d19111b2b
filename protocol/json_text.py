"""Reads JSON that others wrote. How deep it is nested is judged before it is parsed: no text can exhaust a stack.

Parsers recurse once a level. Newer Pythons bound that by a count made for 8 MiB of stack; a web thread has less.
"""

import json
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

MAX_DEPTH = 32
"""Lists and objects inside each other; nothing that anybody sends us has ten."""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)|[][{}]', re.DOTALL)
"""A string that does not end runs to the end of the text: every try matches, so the time grows only with the text."""
_OPENING = frozenset("[{")

T = TypeVar("T")


class NotJson(ValueError):
    """The text is no JSON, is nested too deep, or is not what was expected."""


def check_depth(text: bytes | str) -> None:
    """Raise `NotJson` for what is nested deeper than `MAX_DEPTH`."""
    told = text.decode("latin-1") if isinstance(text, bytes) else text  # in UTF-8, quotes and brackets are single bytes
    if told.count("[") + told.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(told):
        mark = found.group()
        if mark in _OPENING:
            depth += 1
        elif mark[0] != '"':
            depth -= 1
        if depth > MAX_DEPTH:
            raise NotJson("nested too deep")


def loads(text: bytes | str, number: Callable[[str], object] | None = None) -> object:
    """Any JSON; `number` makes what stands for a number with a point, or for none. Raises `NotJson` only."""
    try:
        told = text.decode(json.detect_encoding(text)) if isinstance(text, bytes) else text
        check_depth(told)
        decoded: object = json.loads(told, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None
    return decoded


def decode(text: bytes | str, kind: type[T]) -> T:
    """JSON of a declared kind. Raises `NotJson` only."""
    check_depth(text)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotJson(str(error)) from None
