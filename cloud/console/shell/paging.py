"""Pages of a long list by key, never by OFFSET: the next page begins after the last row of this one."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")
Column = InstrumentedAttribute[Any] | ColumnElement[Any]
PAGE = 50
LONGEST_NUMBER = 19
"""Digits: any number of fewer is one a database can have."""
AFTER = "after"
"""The part of an address that says where a page begins."""


@dataclass(frozen=True)
class Key:
    """Where a row stands in a list by time, newest first."""

    at: datetime
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.at.isoformat()} {self.id}".encode()).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Key | None":
        """What an address names; None for nothing, or for what is no key."""
        try:
            at, _, row = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
            moment = datetime.fromisoformat(at)
            return cls(moment.astimezone(UTC), row) if moment.tzinfo is not None and "\0" not in row else None
        except (ValueError, OverflowError, binascii.Error):
            return None


@dataclass(frozen=True)
class Listed(Generic[T]):
    """One page of a list, and where the next one begins."""

    items: Sequence[T]
    next: str = ""


@dataclass(frozen=True)
class First(Generic[T]):
    """The first of a list that has no further page, and how many there are in all."""

    items: Sequence[T]
    total: int

    @property
    def is_cut(self) -> bool:
        return self.total > len(self.items)


def newest_first(session: Session, query: Select[*tuple[Any, ...]], at: Column, row: Column, after: Key | None,
                 limit: int = PAGE) -> tuple[list[Any], str]:  # fmt: skip
    """The rows of one page of `query`, by time and id descending, and the next page's key; "" at the end.

    The query must give the columns `at` and `row` under the names `at` and `id`. An index over both serves it.
    """
    if after is not None:
        query = query.where(tuple_(at, row) < tuple_(literal(after.at, at.type), _as_id(after.id, row)))
    rows = session.execute(query.order_by(at.desc(), row.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    rows = rows[:limit]
    return list(rows), str(Key(rows[-1].at, str(rows[-1].id))) if more else ""


def _as_id(text: str, row: Column) -> ColumnElement[Any]:
    """What the column is compared with; 0, below every row, for what is no number of its."""
    if row.type.python_type is not int:
        return literal(text, row.type)
    return literal(int(text) if text.isdecimal() and len(text) < LONGEST_NUMBER else 0, BigInteger())
