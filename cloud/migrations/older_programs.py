"""Which older programs may work on a database of this shape: written by a migration, read at each start.

A revision says of itself whether programs from before it can go on (`breaks_older`): it may add tables, indexes, and
columns that are empty or have a default of the server; it breaks what it takes away, renames or makes narrower.
"""

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, String, delete, insert, inspect, select
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base

FIRST = "0027"
"""Programs before this revision do not ask."""


class OldestProgram(Base):
    """One row: programs written for this revision or a later one may work here."""

    __tablename__ = "oldest_program"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)


def promised(scripts: ScriptDirectory, revision: str) -> str:
    """The oldest revision whose programs can work on a database at `revision`."""
    chain = scripts.iterate_revisions(revision, "base")
    breaking = (script.revision for script in chain if getattr(script.module, "breaks_older", True))
    return max(FIRST, next(breaking, FIRST))


def write_down(connection: Connection, scripts: ScriptDirectory, revision: str | None) -> None:
    """In the transaction that migrates."""
    if revision is None or not inspect(connection).has_table(OldestProgram.__tablename__):
        return
    connection.execute(delete(OldestProgram))
    connection.execute(insert(OldestProgram).values(revision=promised(scripts, revision)))


def may_work(connection: Connection, written_for: str | None) -> bool:
    """Whether a program written for this revision may work on a database that is newer than it."""
    if written_for is None or not inspect(connection).has_table(OldestProgram.__tablename__):
        return False
    oldest = connection.scalar(select(OldestProgram.revision))
    return oldest is not None and oldest <= written_for
