"""On which line of a TOML text each table and key stands: `tomllib` does not tell, and messages must.

What is written inside an inline table or array is found at the line of the key it belongs to.
"""

import re
import tomllib
from collections.abc import Iterator

Place = tuple[str | int, ...]
"""The way to a value: names of keys, and indices in arrays of tables."""

_NOT_STRUCTURE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*", re.DOTALL
)
"""Strings of the four kinds, and comments."""


class FileLines:
    """The lines of one TOML text, which must already have been parsed without an error."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        self._tables_in: dict[Place, int] = {}
        table: Place = ()
        for number, statement in _statements(text):
            if statement.startswith("["):
                table = self._open(statement)
                self._lines.setdefault(table, number)
            else:
                self._note(table, _names(statement), number)

    def of(self, place: Place) -> int:
        """The line of the innermost part of `place` that has one; 1 when none has."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _open(self, header: str) -> Place:
        names = _names(header.strip("[]"))
        if not header.startswith("[["):
            return self._inside(names)
        array = (*self._inside(names[:-1]), names[-1])
        self._tables_in[array] = self._tables_in.get(array, 0) + 1
        return self._inside(names)

    def _inside(self, names: list[str]) -> Place:
        """A name of an array of tables means the last of them."""
        place: Place = ()
        for name in names:
            place = (*place, name)
            if place in self._tables_in:
                place = (*place, self._tables_in[place] - 1)
        return place

    def _note(self, table: Place, names: list[str], number: int) -> None:
        for length in range(1, len(names) + 1):
            self._lines.setdefault((*table, *names[:length]), number)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each table header, and each key up to its `=`, with its line."""
    depth = 0
    masked = _NOT_STRUCTURE.sub(_mask, text)
    for number, (line, bare) in enumerate(zip(text.split("\n"), masked.split("\n"), strict=True), 1):
        if depth == 0 and bare.lstrip().startswith("["):
            yield number, line[: len(bare.rstrip())].strip()
        elif depth == 0 and "=" in bare:
            yield number, line[: bare.index("=")].strip()
        depth += len(re.findall(r"[\[{]", bare)) - len(re.findall(r"[\]}]", bare))


def _mask(found: re.Match[str]) -> str:
    """The same length and the same lines, and nothing in it that looks like structure."""
    return re.sub(r"[^\n]", " " if found[0].startswith("#") else '"', found[0])


def _names(key: str) -> list[str]:
    """A key as written, dotted or quoted, taken apart by the TOML parser itself."""
    names = []
    rest: object = tomllib.loads(f"{key} = 0")
    while isinstance(rest, dict):
        ((name, rest),) = rest.items()
        names.append(str(name))
    return names
