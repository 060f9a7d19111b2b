"""A job an operator asks of one agent, from a command line: sent once, and its answer waited for.

Listens to that one device beside the workers, never in their place.
"""

import queue
import time
import uuid
from datetime import datetime, timedelta

from cloud.courier.broker import BrokerLink, NotConnected, client_id_of, link_of
from cloud.settings import Settings
from protocol.errors import WireError
from protocol.messages import Answer, Resume, Unsupported, decode_report, encode
from protocol.reasons import AnswerStatus
from protocol.topics import Channel, topic

Said = Answer | Unsupported
"""Older agents do not know the job."""
CONNECT_S = 5.0
PATIENCE_S = 10.0
"""An agent that is there answers within a second; one that is asked in mid-drink refuses at once."""


def resume(settings: Settings, device_uuid: str, by: str, now: datetime, *, accept_loss: bool) -> Said | None:
    """Let the agent sell again; its answer, None when it says nothing. Raises `NotConnected`: it was not asked."""
    job = Resume(
        job_id=f"resume-{uuid.uuid4().hex}",
        issued_at=now,
        deadline_at=now + timedelta(seconds=PATIENCE_S),
        by=by,
        accept_loss=accept_loss,
    )
    link = link_of(settings, client_id_of("job"), listens_to=[topic(device_uuid, Channel.REPORT)])
    link.start()
    try:
        if not link.wait_connected(CONNECT_S):
            raise NotConnected(link.trouble)
        link.publish(topic(device_uuid, Channel.COMMAND), encode(job), int(PATIENCE_S))
        return _answer(link, job.job_id)
    finally:
        link.stop()


def _answer(link: BrokerLink, job_id: str) -> Said | None:
    """Its last word."""
    until = time.monotonic() + PATIENCE_S
    while (left := until - time.monotonic()) > 0:
        try:
            received = link.inbox.get(timeout=left)
        except queue.Empty:
            break
        link.ack(received)
        try:
            said = decode_report(received.payload)
        except WireError:
            continue
        if isinstance(said, Unsupported | Answer) and said.reference == job_id and not _goes_on(said):
            return said
    return None


def _goes_on(said: Said) -> bool:
    return isinstance(said, Answer) and said.status is AnswerStatus.STARTED
