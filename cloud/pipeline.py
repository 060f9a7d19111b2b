"""Several statements in one round trip to PostgreSQL, the commit among them; on SQLite nothing needs to travel."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.pq import PipelineStatus
from sqlalchemy import Connection, exc
from sqlalchemy.exc import DBAPIError


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
            raise _as_sqlalchemys(error) from error


def _as_sqlalchemys(error: psycopg.Error) -> DBAPIError:
    kinds = (getattr(exc, kind.__name__, None) for kind in type(error).__mro__)
    kind = next((kind for kind in kinds if kind is not None and issubclass(kind, DBAPIError)), DBAPIError)
    return kind(None, None, error, hide_parameters=True)
