"""What a worker writes of itself: that it lives, whether it hears machines, and how far behind it reads."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from cloud.background import heartbeat
from cloud.courier.broker import BrokerLink
from cloud.database.database import Database

log = logging.getLogger("cloud.processes.worker_heartbeat")

LOOK_EVERY = timedelta(seconds=5)
"""The link is looked at so often, whether or not that is worth a beat."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WorkerHeartbeat:
    """Writes the worker's sign of life: now and then, and when the broker came or went. Woken for nothing, it waits."""

    def __init__(
        self, database: Database, link: BrokerLink, presence_link: BrokerLink, lag_s: Callable[[], float], owner: str
    ) -> None:
        self._database = database
        self._link = link
        self._presence_link = presence_link
        self._lag_s = lag_s
        self._owner = owner
        self._told: tuple[bool, ...] | None = None
        self._last = self._next = EPOCH

    def step(self, now: datetime) -> datetime:
        """One beat, when it is time for one, or when machines can be sold from no more, or again."""
        link = self._link
        connected, lag_s = link.connected, self._lag_s()
        hears = link.is_listening and self._presence_link.connected
        tells = (connected, hears, lag_s > heartbeat.FAR_BEHIND_S)
        if tells != self._told or not self._last <= now < self._next:  # the clock may have been set back
            self._next = self._database.transact(
                heartbeat.beat,
                self._owner,
                connected,
                now,
                hears_devices=hears,
                lag_s=lag_s,
                trouble=str(link.trouble or self._presence_link.trouble or ""),
            )
            self._told, self._last = tells, now
        return min(self._next, now + LOOK_EVERY)

    def end(self) -> None:
        """No more of them."""
        try:
            self._database.transact(heartbeat.leave, self._owner)
        except SQLAlchemyError as error:
            log.warning("the end could not be told: %s", type(error).__name__)
