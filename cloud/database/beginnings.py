"""Texts found by how they begin, by an index, in whatever language a database sorts.

PostgreSQL sorts texts as a dictionary of its locale does: those that begin alike need not stand together. It compares
their characters with operators of their own, and needs an index of their own for them. SQLite does nothing else.
"""

from sqlalchemy import ColumnElement, Index, and_, text
from sqlalchemy.orm import InstrumentedAttribute, Session

_LAST = "\U0010ffff"
"""No character comes behind it."""


def index(name: str, column: str) -> Index:
    """What finds them in this column. On SQLite it is empty: any other index of the column does."""
    return Index(name, column, postgresql_ops={column: "varchar_pattern_ops"}, sqlite_where=text("0"))


def begins(session: Session, column: InstrumentedAttribute[str], beginning: str) -> ColumnElement[bool]:
    """Whether the column begins so, to the letter."""
    not_before, before = ("~>=~", "~<~") if session.get_bind().dialect.name == "postgresql" else (">=", "<")
    return and_(column.bool_op(not_before)(beginning), column.bool_op(before)(beginning + _LAST))
