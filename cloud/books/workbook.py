"""Writes one XLSX file line by line: numbers are numbers, days are days, and no cell is a formula.

Lines go to the disk as they come (`constant_memory`), so a file of two hundred thousand takes no more memory than one.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import xlsxwriter

from cloud.books.cells import Cell, Roubles

SHEET = 31
"""Letters a sheet's name may have."""
WIDTH = 18
_PLAIN = {"strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False}


class Workbook:
    """A file being written; leaving it makes it whole."""

    def __init__(self, file: Path, title: str, head: Sequence[str]) -> None:
        options = {"constant_memory": True, "tmpdir": str(file.parent), **_PLAIN}
        self._book = xlsxwriter.Workbook(str(file), options)
        self._sheet = self._book.add_worksheet(title[:SHEET])
        self._sheet.set_column(0, len(head) - 1, WIDTH)
        self._sheet.freeze_panes(1, 0)
        bold = self._book.add_format({"bold": True})
        self._money = self._book.add_format({"num_format": "#,##0.00"})
        self._day = self._book.add_format({"num_format": "dd.mm.yyyy"})
        self._moment = self._book.add_format({"num_format": "dd.mm.yyyy hh:mm:ss"})
        for column, words in enumerate(head):
            self._sheet.write_string(0, column, words, bold)
        self._row = 1

    def write(self, lines: Sequence[Sequence[Cell]]) -> None:
        """Further lines."""
        for line in lines:
            for column, cell in enumerate(line):
                self._write(column, cell)
            self._row += 1

    def _write(self, column: int, cell: Cell) -> None:
        sheet, row = self._sheet, self._row
        match cell:
            case None:
                pass
            case Roubles():
                sheet.write_number(row, column, float(Decimal(cell.kopecks) / 100), self._money)
            case datetime():
                sheet.write_datetime(row, column, cell, self._moment)
            case date():
                sheet.write_datetime(row, column, cell, self._day)
            case int() | float():
                sheet.write_number(row, column, cell)
            case str():
                sheet.write_string(row, column, cell)  # never read as a formula, whatever it begins with

    def __enter__(self) -> "Workbook":
        return self

    def __exit__(self, *_: object) -> None:
        """Put it together; also one that nobody wants any more, whose files would stay open."""
        self._book.close()
