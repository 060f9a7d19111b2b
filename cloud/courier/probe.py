"""Carries readiness questions to machines and their answers back (`cloud/fleet/probes.py`). Lives in the worker.

A question is not a command: it is sent once, lives seconds at the broker and is not repeated.
"""

import logging
from datetime import datetime, timedelta

from cloud.background.loops import Clock
from cloud.courier.broker import BrokerLink, NotConnected
from cloud.database.database import Database
from cloud.fleet import probes
from protocol import messages
from protocol.errors import WireError
from protocol.topics import Channel, topic

log = logging.getLogger("cloud.courier.probe")

EXPIRY_S = 2
"""The broker forgets what nobody took by then; nobody waits for the answer any more."""
IDLE = timedelta(seconds=60)


class Prober:
    """Sends the questions that wait; one per worker, each question by one of them."""

    def __init__(self, database: Database, link: BrokerLink, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Send what waits; when to look again."""
        for probe in self._database.transact(probes.claim, now):
            try:
                self._send(probe)
            except (NotConnected, WireError, OSError) as error:
                log.warning("a readiness question could not be sent: %s", error, extra={"device": probe.device_uuid})
                self._database.transact(probes.not_sent, probe.probe_id, self._clock())
        return now + IDLE

    def _send(self, probe: probes.Probe) -> None:
        question = messages.Probe(probe_id=probe.probe_id, drink_no=probe.drink_no, size=probe.size)
        self._link.publish(topic(probe.device_uuid, Channel.COMMAND), messages.encode(question), EXPIRY_S)
