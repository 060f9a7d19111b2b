"""Which failures say that a message can never be taken in: it is dropped, for it would fail again whenever it came."""

from sqlalchemy.exc import DataError, IntegrityError

from cloud.database import postgresql

_SENSELESS = (LookupError, ValueError, DataError, IntegrityError)


def is_senseless(error: Exception) -> bool:
    """Whether it is the message's fault, and not the database's."""
    return isinstance(error, _SENSELESS) and not postgresql.is_out_of_numbers(error)
