"""A lock by name, held until the transaction ends: for a rule about rows that are not there yet."""

import hashlib

from sqlalchemy import func, select

from cloud.database.transaction import Transaction


def hold(tx: Transaction, name: str) -> None:
    """Wait for the holder of the same name. A SQLite transaction that writes is alone already."""
    if tx.connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest(), signed=True)
        tx.connection.execute(select(func.pg_advisory_xact_lock(number)))
