"""What machines say of themselves, presence and state: the newest of it, many in one transaction.

Beside the listener of reports and on a connection of its own, so that no order waits behind it. One worker of many
hears it (`reader_lease.py`); all of it is retained, so whoever takes over is told all of it anew, and what waits here
then is old news. Of a machine that says too much only the newest waits: its last will is not lost, and none beside it.
"""

import logging
import queue
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import NamedTuple

from sqlalchemy import select

from cloud.background.loops import Clock
from cloud.courier import reader_lease
from cloud.courier.broker import BrokerLink, Received
from cloud.courier.message_counts import SENSELESS
from cloud.courier.senseless import is_senseless
from cloud.courier.too_fast import TooFast
from cloud.courier.welcomes import Welcomes
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import device_condition, presence_history
from cloud.fleet.models import Control, Device, DeviceLive
from cloud.metrics.counts import Counts
from protocol.errors import WireError
from protocol.messages import Presence, State, decode_presence, decode_state
from protocol.topics import Channel, parse

BATCH = 200
MOST_WAITING = 20_000
"""Beyond it nothing is taken from the broker, which keeps the newest of each topic."""
MOST_READ = 5_000
"""Before what waits is stored: a flood of one machine's words has no end, and leaves but one of them waiting."""
IDLE = timedelta(seconds=60)
HELD_AGAIN = timedelta(seconds=1)
log = logging.getLogger("cloud.courier")


class ParsedPresence(NamedTuple):
    """A presence or a state that makes sense."""

    topic: str
    device_uuid: str
    message: Presence | State
    retained: bool
    is_over: bool = False
    """Its machine says more than any agent does."""


class TakenOver(Exception):
    """Another worker hears the machines now, and knows later news than ours."""


class PresenceListener:
    """One per process; `owner` is the holder of its lease."""

    def __init__(
        self, database: Database, link: BrokerLink, welcomes: Welcomes, owner: str, clock: Clock,
        counts: Counts | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._link = link
        self._welcomes = welcomes
        self._owner = owner
        self._clock = clock
        self._counts = counts or Counts()
        self._too_fast = TooFast(self._counts, "presence")
        self._waiting: dict[int, ParsedPresence] = {}
        """Numbered in the order of coming."""
        self._latest: dict[str, int] = {}
        """Of each topic, among those waiting."""
        self._numbers = count()
        self._held: set[str] = set()
        """Machines whose row somebody else holds."""
        self._try_at = datetime(1970, 1, 1, tzinfo=UTC)
        self._early: list[str] = []
        """Machines that were there before us, to be greeted once we can."""

    def step(self, now: datetime) -> datetime:
        """Handle what has arrived; when to look again."""
        is_more = self._take_in(now.timestamp())
        if not self._try_at - HELD_AGAIN <= now < self._try_at:  # the clock may have been set back
            self._held.clear()
        batch = dict(islice(((n, one) for n, one in self._waiting.items() if one.device_uuid not in self._held), BATCH))
        if not batch:
            self._greet()
            return now if is_more else now + (HELD_AGAIN if self._held or self._early else IDLE)
        try:
            free = self._store(list(batch.values()))
        except TakenOver:
            self._forget_all()
            return now + IDLE
        for number, one in batch.items():
            if one.device_uuid in free:
                self._forget(number)
            else:
                self._held.add(one.device_uuid)
                self._try_at = now + HELD_AGAIN
        self._early += [one.device_uuid for one in batch.values() if one.device_uuid in free and _was_there(one)]
        self._greet()
        return now

    def _take_in(self, now: float) -> bool:
        """Acknowledged at once: the broker keeps the last of each for the next reader. True: there may be more."""
        for _ in range(MOST_READ):
            if len(self._waiting) >= MOST_WAITING:
                return False
            try:
                received = self._link.inbox.get_nowait()
            except queue.Empty:
                return False
            one = self._understand(received, now)
            self._link.ack(received)
            if one is not None:
                self._keep(one)
        return True

    def _keep(self, one: ParsedPresence) -> None:
        before = self._latest.get(one.topic)
        if before is not None and (one.is_over or _is_overtaken(self._waiting[before].message, one.message)):
            self._forget(before)
        number = self._latest[one.topic] = next(self._numbers)
        self._waiting[number] = one

    def _forget(self, number: int) -> None:
        one = self._waiting.pop(number)
        if self._latest[one.topic] == number:
            del self._latest[one.topic]

    def _forget_all(self) -> None:
        """Forget what waits here; should this worker hear the machines again, all of it is told anew."""
        log.warning("another worker hears the machines now: forgotten what waited here, %d", len(self._waiting))
        self._waiting.clear()
        self._latest.clear()
        self._early.clear()
        self._link.read_alone(False)

    def _understand(self, received: Received, now: float) -> ParsedPresence | None:
        is_over = False
        try:
            device_uuid, channel = parse(received.topic)
            is_over = self._too_fast.is_over(device_uuid, now)
            decode = decode_presence if channel is Channel.PRESENCE else decode_state
            return ParsedPresence(received.topic, device_uuid, decode(received.payload), received.retained, is_over)
        except WireError as error:
            self._note_senseless()
            if not is_over:
                log.warning("message makes no sense: %s", error, extra={"topic": received.topic[:200]})
            return None

    def _store(self, batch: Sequence[ParsedPresence]) -> Collection[str]:
        """Store them in one transaction; each by itself only when one makes no sense. Returns those with a free row."""
        try:
            return self._database.transact(self._note, batch, self._clock())
        except Exception as error:
            if not is_senseless(error):
                raise
            if len(batch) > 1:
                return {device for one in batch for device in self._store([one])}
            self._note_senseless()
            facts = {"device": batch[0].device_uuid}
            log.error("message could not be taken in: %s", type(error).__name__, extra=facts)
            return {batch[0].device_uuid}

    def _note_senseless(self) -> None:
        self._counts.count(SENSELESS, "presence")

    def _note(self, tx: Transaction, batch: Sequence[ParsedPresence], now: datetime) -> set[str]:
        devices = {one.device_uuid for one in batch}
        asked = select(DeviceLive, Device.control).join(Device, Device.device_uuid == DeviceLive.device_uuid)
        theirs = asked.where(DeviceLive.device_uuid.in_(devices)).order_by(DeviceLive.device_uuid)
        locked = tx.session.execute(theirs.with_for_update(skip_locked=True, of=DeviceLive)).all()
        lives = {live.device_uuid: live for live, _ in locked}
        without_agent = {live.device_uuid for live, control in locked if control != Control.AGENT}
        if not self._database.is_sqlite and reader_lease.is_anothers(tx, reader_lease.PRESENCE, self._owner):
            raise TakenOver  # asked with the rows locked: a worker that takes over now writes after us
        for one in batch:
            live = lives.get(one.device_uuid)
            if live is None or live.device_uuid in without_agent:  # one that is left there speaks for nobody
                continue
            if isinstance(one.message, State):
                if not (one.retained and device_condition.is_older(live, one.message)):
                    device_condition.note_state(tx, live, one.message, now, retained=one.retained)
                continue
            was_one = live.two_agents_since is None
            device_condition.note_presence(tx, live, one.message, now, retained=one.retained)
            if was_one and live.two_agents_since is not None:  # the answer to its next hello stops the sale
                tx.after_commit(partial(self._welcomes.greet, [live.device_uuid], all_at_once=False))
        presence_history.note(tx, lives.values(), now)
        return devices - _held_by_others(tx, devices - lives.keys())

    def _greet(self) -> None:
        """Their hellos may have found nobody."""
        if self._early and self._welcomes.can_be_told:
            early, self._early = self._early, []
            self._welcomes.greet(early, all_at_once=True)


def _is_overtaken(before: Presence | State, newer: Presence | State) -> bool:
    """Nobody need read it any more. Sessions that take turns are two agents: each turn is read."""
    if isinstance(before, State) or isinstance(newer, State):
        return True
    return (before.session_id, before.online) == (newer.session_id, newer.online)


def _was_there(one: ParsedPresence) -> bool:
    return one.retained and isinstance(one.message, Presence) and one.message.online


def _held_by_others(tx: Transaction, lacking: Collection[str]) -> set[str]:
    """Return those of these machines whose row others hold; the rest are in no fleet of ours."""
    if not lacking:
        return set()
    known = set(tx.session.scalars(select(DeviceLive.device_uuid).where(DeviceLive.device_uuid.in_(lacking))))
    for device_uuid in sorted(set(lacking) - known):
        tx.log_after_commit(log.warning, "presence of an unknown device", extra={"device": device_uuid})
    return known
