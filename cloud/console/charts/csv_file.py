"""Figures as a CSV file that Excel opens: UTF-8 with its mark, semicolons, and no cell that is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARK = "\ufeff"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Roubles:
    """A sum, in kopecks; a number whatever it begins with."""

    kopecks: int

    def __str__(self) -> str:
        whole, rest = divmod(abs(self.kopecks), 100)
        return f"{'-' if self.kopecks < 0 else ''}{whole},{rest:02}"


Cell = str | int | float | Roubles | None


def as_csv(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Never a `sep=` line: Excel believes it and forgets the letters."""
    told = io.StringIO()
    writer = csv.writer(told, delimiter=";", lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([safe(cell) for cell in row] for row in rows)
    return MARK + told.getvalue()


def safe(cell: Cell) -> str:
    """A number with a comma, as Excel in Russian reads it; a text that could be taken for a formula behind a quote."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.2f}".replace(".", ",")
    if isinstance(cell, int | Roubles):
        return str(cell)
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
