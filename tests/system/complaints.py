"""Errors our programs met and did not foresee: the tracebacks in their logs."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from tests.system.restartable import Restartable

_SIGN = "Traceback (most recent call last):"
_BEFORE, _AFTER = 300, 3000


def written(programs: Iterable[Restartable]) -> dict[Restartable, int]:
    """Where each log ends now, for `check_none_since`."""
    return {program: program.written for program in programs}


def check_none_since(marks: Mapping[Restartable, int], forgiven: Iterable[str] = ()) -> None:
    """Fail showing every traceback written since; `forgiven` are words of those the test itself caused."""
    words = tuple(forgiven)
    found = [error for program, mark in marks.items() for error in _unforeseen(program, mark, words)]
    assert not found, "\n\n".join(found)


def _unforeseen(program: Restartable, mark: int, forgiven: tuple[str, ...]) -> Iterator[str]:
    for before, after in pairwise(program.output(mark).split(_SIGN)):
        if not any(word in after for word in forgiven):
            yield f"{program.name}: {before[-_BEFORE:]}{_SIGN}{after[:_AFTER]}"
