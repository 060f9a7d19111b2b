"""Several statements in one round trip to PostgreSQL, the commit among them; on SQLite nothing needs to travel."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.pq import PipelineStatus
from sqlalchemy import Connection, exc
from sqlalchemy.exc import DBAPIError

_READ_ONLY = "25006"


@contextmanager
def together(connection: Connection) -> Iterator[bool]:
    """Statements that ask for no rows: PostgreSQL gets them in one round trip instead of one each.

    What is wrong with any of them is raised at the end, as SQLAlchemy would have raised it; nothing after it is done.
    Gives whether they travel together.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection) or not psycopg.capabilities.has_pipeline():
        yield False
    elif driver.pgconn.pipeline_status != PipelineStatus.OFF:
        yield True  # with those of the caller: a pipeline within another would be sent at its own end
    else:
        try:
            with driver.pipeline():
                yield True
        except psycopg.Error as error:
            raise as_sqlalchemys(connection, error) from error


def is_read_only(error: BaseException | None) -> bool:
    """Whether the server refused to write: our session was left on one that does not, or does not any more."""
    return getattr(error, "sqlstate", None) == _READ_ONLY


def as_sqlalchemys(connection: Connection, error: psycopg.Error) -> DBAPIError:
    """What SQLAlchemy would have made of an error it did not see; a connection of no more use is dropped, as there."""
    driver = connection.connection.driver_connection
    is_lost = is_read_only(error) or driver is None or bool(driver.closed)
    if is_lost:
        connection.invalidate(error)
    kinds = (getattr(exc, kind.__name__, None) for kind in type(error).__mro__)
    kind = next((kind for kind in kinds if kind is not None and issubclass(kind, DBAPIError)), DBAPIError)
    return kind(None, None, error, hide_parameters=True, connection_invalidated=is_lost)
