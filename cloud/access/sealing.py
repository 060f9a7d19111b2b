"""The loop that seals the journal's finished days."""

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from cloud.access import seals
from cloud.access.signing import Signer
from cloud.database.database import Database

EVERY = timedelta(minutes=15)


class Sealing:
    """Looks whether a day is over."""

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer

    def step(self, now: datetime) -> datetime:
        """Seal what is finished. Raises what the database raises."""
        with suppress(IntegrityError):  # another worker has sealed it this moment
            self._database.transact(seals.seal_days, self._signer, now)
        return now + EVERY
