"""What goes wrong, and when: every opportunity is numbered and drawn from the seed, so each strike has a name.

`only` makes exactly the named strikes happen: a world can be told again without those that do not matter.
"""

import zlib
from collections.abc import Callable, Container, Mapping
from random import Random


class Faults:
    """`rates`: chance of each kind at each of its opportunities; what is not named never strikes."""

    def __init__(self, seed: int, rates: Mapping[str, float], only: Container[str] | None = None) -> None:
        self.seed = seed
        self.struck: list[str] = []
        self.rates = dict(rates)
        self.is_over = False
        """From some moment on nothing goes wrong any more."""
        self.on_strike: Callable[[str], None] = lambda _name: None
        self._only = only
        self._streams: dict[str, Random] = {}
        self._seen: dict[str, int] = {}

    def strikes(self, kind: str) -> str:
        """The strike's name when this opportunity is taken, else ""."""
        rate = self.rates.get(kind, 0.0)
        if rate <= 0.0 or self.is_over:
            return ""
        number = self._seen[kind] = self._seen.get(kind, 0) + 1
        name = f"{kind}#{number}"
        if self._only is not None:
            hit = name in self._only
        else:
            stream = self._streams.get(kind)
            if stream is None:
                stream = self._streams[kind] = Random(f"{self.seed}/{kind}")
            hit = stream.random() < rate
        if not hit:
            return ""
        self.struck.append(name)
        self.on_strike(name)
        return name

    def random(self, name: str) -> Random:
        """Draws for the details of one strike: the same whatever else strikes."""
        return Random(zlib.crc32(f"{self.seed}/{name}".encode()))
