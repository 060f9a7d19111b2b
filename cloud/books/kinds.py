"""The kinds of files: their columns, and their lines page by page, in the language of the person who asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from cloud.books.cells import Cell, Roubles
from cloud.books.reading import (
    Asked,
    LedgerLine,
    MachineDay,
    ProviderDay,
    read_ledger,
    read_machine_days,
    read_provider_days,
)
from cloud.database.database import Database

Words = Mapping[str, str]
"""Headings by `column.<name>`, and what `words` of a kind names."""
Line = list[Cell]
PAGE = 1_000
MOST_LINES = 200_000
"""Lines of one file: a year of a large merchant's ledger. One more says that later ones are missing."""
CUT = "cut"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Kind:
    """One kind of file. `page` gives lines after a place, and the place where the next page begins; None: no more."""

    name: str
    columns: tuple[str, ...]
    page: Callable[[Session, Asked, Words, Any], tuple[list[Line], Any]]
    words: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every word it needs."""
        return (*(f"column.{name}" for name in self.columns), CUT, *self.words)

    def head(self, words: Words) -> list[str]:
        return [words[f"column.{name}"] for name in self.columns]


def lines_of(database: Database, kind: Kind, asked: Asked, words: Words) -> Iterator[Line]:
    """Yield all lines, a short transaction a page; or as many as a file holds, and a last one that says so."""
    place, left = None, MOST_LINES
    while True:
        with database.read() as session:
            lines, place = kind.page(session, asked, words, place)
        yield from lines[:left]
        if len(lines) > left:
            yield [words[CUT]]
            return
        left -= len(lines)
        if place is None:
            return


def _days(session: Session, asked: Asked, words: Words, place: Any) -> tuple[list[Line], Any]:
    days, after = read_machine_days(session, asked, place, PAGE)
    return [_of_machine_day(one) for one in days], after


def _of_machine_day(one: MachineDay) -> Line:
    told = one.figures
    sums: Sequence[Cell] = (Roubles(told.taken), Roubles(told.returned), Roubles(told.kept))
    counted: Sequence[Cell] = (told.cups, told.failed)
    return [one.day, one.device_uuid, one.place, *counted, *sums, told.waited(0.5), told.waited(0.95)]


def _ledger(session: Session, asked: Asked, words: Words, place: Any) -> tuple[list[Line], Any]:
    lines, after = read_ledger(session, asked, place, PAGE)
    return [_of_movement(one, words) for one in lines], after


def _of_movement(line: LedgerLine, words: Words) -> Line:
    movement, payment, order = line.movement, line.payment, line.order
    is_back = movement.kind == "refunded"
    kept = words[UNKNOWN] if line.commission is None else Roubles(line.commission)
    return [
        line.at.replace(tzinfo=None), order.merchant_id, order.id, payment.id, payment.provider_payment_id,
        words[f"kind.{movement.kind}"], Roubles(-movement.amount if is_back else movement.amount),
        None if is_back else kept, payment.scenario, payment.method, order.device_uuid, order.drink_name,
    ]  # fmt: skip


def _money(session: Session, asked: Asked, words: Words, place: Any) -> tuple[list[Line], Any]:
    return [_of_provider_day(one, words) for one in read_provider_days(session, asked)], None


def _of_provider_day(one: ProviderDay, words: Words) -> Line:
    sums = one.sums
    net = words[UNKNOWN] if sums.net is None else Roubles(sums.net)
    kept = Roubles(sums.commission) if sums.told or not sums.taken else words[UNKNOWN]
    return [
        one.day, one.merchant_id, one.provider, Roubles(sums.taken), Roubles(sums.returned), kept,
        Roubles(sums.untold), net,
    ]  # fmt: skip


DAYS = Kind(
    "days", ("day", "machine", "place", "cups", "failed", "taken", "returned", "kept", "p50", "p95"), _days
)  # fmt: skip
LEDGER = Kind(
    "ledger",
    ("at", "merchant", "order", "payment", "provider_payment", "kind", "amount", "commission", "provider", "method",
     "machine", "drink"),
    _ledger, ("kind.captured", "kind.refunded", UNKNOWN),
)  # fmt: skip
MONEY = Kind(
    "money", ("day", "merchant", "provider", "taken", "returned", "commission", "untold", "net"), _money, (UNKNOWN,)
)
KINDS = {kind.name: kind for kind in (MONEY, LEDGER, DAYS)}
