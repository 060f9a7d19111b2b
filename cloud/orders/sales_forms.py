"""Programs whose days of sales have different forms write the same rows: what another wrote over ours is found.

Of two that work side by side the one of the higher form writes last, so that neither follows the other for ever.
"""

from collections.abc import Iterator

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.orders.sales_tables import SalesMark


def mark(table: str, form: int) -> str:
    """The name of the mark by which programs of this form go."""
    return f"{table}:{form}"


def go_back(tx: Transaction, own: SalesMark, table: str, form: int) -> None:
    """Lead our mark back to where another form's mark stood when it was last seen here, if that has moved since."""
    for other, number in _others(tx.session, own, table):
        noted = _note(table, form, other)
        insert_if_new(tx.connection, SalesMark, {"name": noted, "number": 0})
        seen = tx.session.get_one(SalesMark, noted)
        if number == seen.number:
            continue
        own.number = min(own.number, seen.number, number)
        seen.number = number
        if other > form:
            of_ours = update(SalesMark).where(SalesMark.name == _note(table, other, form))
            tx.session.execute(of_ours.where(SalesMark.number > own.number).values(number=own.number))


def _others(session: Session, own: SalesMark, table: str) -> Iterator[tuple[int, int]]:
    """Each other form, and how far its programs have come. The first form said none in its marks' names."""
    of_table = or_(SalesMark.name == table, SalesMark.name.startswith(f"{table}:", autoescape=True))
    for found in session.execute(select(SalesMark.name, SalesMark.number).where(of_table, SalesMark.name != own.name)):
        form = found.name.removeprefix(table).removeprefix(":") or "1"
        if form.isdecimal():
            yield int(form), found.number


def _note(table: str, form: int, other: int) -> str:
    return f"{mark(table, form)}<{other}"
