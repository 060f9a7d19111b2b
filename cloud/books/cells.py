"""What stands in one cell of a file, whatever the file's kind. Pure."""

from dataclasses import dataclass
from datetime import date, datetime

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Roubles:
    """A sum, in kopecks; a number whatever it begins with."""

    kopecks: int

    def __str__(self) -> str:
        whole, rest = divmod(abs(self.kopecks), 100)
        return f"{'-' if self.kopecks < 0 else ''}{whole},{rest:02}"


Cell = str | int | float | Roubles | datetime | date | None


def is_like_a_formula(text: str) -> bool:
    """Whether a spreadsheet could take a text for one."""
    return text.startswith(_FORMULA)
