"""What is wrong with a database's address, before anything connects to it. Says no word of it: it holds a password."""

import re

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cloud.database.database import normalise_url

PORTS = range(1, 65536)
SQLITE_OPTIONS = frozenset({"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"})

_AFTER_USER = re.compile(r"[^:]+://(?:[^:/]*(?::[^@]*)?@)?(.*)", re.DOTALL)
"""As SQLAlchemy reads it: a password ends at the first @."""


def wrong_with(text: str) -> str:
    """What must be otherwise in the address at `text`, as the end of a sentence; empty when it can be used."""
    after_user = _AFTER_USER.fullmatch(text)
    if not text.startswith("sqlite") and after_user is not None and "@" in after_user[1]:
        return "has more than one @: in a password write it as %40"
    try:
        url = make_url(normalise_url(text))
    except (ArgumentError, ValueError):
        return "has a host or port that cannot be read: a port is a number, an IPv6 address stands in [ ]"
    if url.get_backend_name() == "sqlite":
        return _wrong_with_sqlite(url)
    try:
        _, named = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        return "has hosts or ports that cannot be read: a port is a number"
    ports = [port for port in str(named.get("port", "")).split(",") if port]
    if url.port == 0 or not all(port.isdecimal() and int(port) in PORTS for port in ports):
        return f"has a port that is no number from {PORTS[0]} to {PORTS[-1]}"
    try:
        make_conninfo(**named)
    except psycopg.Error:
        return "has an option after the ? that PostgreSQL does not know; within a value write & as %26"
    return ""


def _wrong_with_sqlite(url: URL) -> str:
    if "uri" not in url.query and not SQLITE_OPTIONS.issuperset(url.query):
        return "has an option after the ? that SQLite does not know"
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        return "has an option after the ? that cannot be read"
    return ""
