"""Tells a watcher outside that all is well: the watcher alarms by itself when it has not heard of us for a while.

Nothing here can tell of its own death; that is what the watcher is for.
"""

import logging
from datetime import datetime, timedelta

from cloud.alerts.channels.http import Answer, Http
from cloud.background import heartbeat
from cloud.database.database import Database

log = logging.getLogger("cloud.alerts")

EVERY = timedelta(minutes=1)


class OutsideWatcher:
    """The loop that calls it each minute in which the service works."""

    def __init__(self, database: Database, url: str, http: Http) -> None:
        self._database = database
        self._url = url
        self._http = http

    def step(self, now: datetime) -> datetime:
        """One call, when nothing is missing. Raises what the database raises."""
        if not heartbeat.missing(self._database, now):
            answer = self._http.ask("GET", self._url)
            if not isinstance(answer, Answer) or answer.status >= 300:
                log.warning("the outside watcher was not reached")
        return now + EVERY
