"""Secrets that lie locked in the database. Each package lists its own; `operators/rekey.py` locks all of them anew."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LockedSecret:
    """One stored secret: what a person calls it, and the row and column that hold it."""

    name: str
    row: object
    column: str

    @property
    def locked(self) -> str:
        """As it is stored."""
        return str(getattr(self.row, self.column))

    def store(self, locked: str) -> None:
        """Store it locked otherwise."""
        setattr(self.row, self.column, locked)
