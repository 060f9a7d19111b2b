"""Figures as a CSV file that Excel opens: UTF-8 with its mark, semicolons, and no cell that is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from cloud.books.cells import Cell, Roubles, is_like_a_formula

MARK = "\ufeff"


def as_csv(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Never a `sep=` line: Excel believes it and forgets the letters."""
    told = io.StringIO()
    writer = csv.writer(told, delimiter=";", lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([safe(cell) for cell in row] for row in rows)
    return MARK + told.getvalue()


def safe(cell: Cell) -> str:
    """A number with a comma, as Excel in Russian reads it; a text that could be taken for a formula behind a quote."""
    match cell:
        case None:
            return ""
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M:%S}"
        case date():
            return cell.isoformat()
        case float():
            return f"{cell:.2f}".replace(".", ",")
        case int() | Roubles():
            return str(cell)
        case str():
            return f"'{cell}" if is_like_a_formula(cell) else cell
