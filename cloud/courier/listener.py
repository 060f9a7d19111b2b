"""From devices to the order workflow: stored and judged in one commit, acknowledged and receipted only after it.

What makes no sense is counted, logged and acknowledged: unacknowledged it would stop the connection after twenty.
"""

import logging
import queue
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from cloud.background.loops import Clock
from cloud.courier.broker import BrokerLink, NotConnected, Received
from cloud.database.database import Database, Held
from cloud.database.postgresql import is_locked
from cloud.database.transaction import Transaction
from cloud.fleet import machine_events, presence_history, probes, sessions
from cloud.fleet.models import DeviceLive
from cloud.orders import making
from cloud.orders.locked_order import order_key
from cloud.orders.rules import Rules
from protocol.errors import WireError
from protocol.messages import (
    GREETING,
    MAX_BATCH,
    Accepted,
    Answer,
    Event,
    Hello,
    Message,
    Outcome,
    Presence,
    ProbeReply,
    Progress,
    Query,
    Receipt,
    State,
    Unsupported,
    Welcome,
    decode_presence,
    decode_report,
    decode_state,
    encode,
)
from protocol.topics import Channel, parse, topic

log = logging.getLogger("cloud.courier")

BATCH = 64
SENSELESS = (LookupError, ValueError, DataError, IntegrityError)
"""What a message raises that can never be taken in."""
TAKES = [str(Event.__struct_config__.tag)]
"""Kinds of reports that older clouds did not know; a device keeps them until it hears that they are taken."""
IDLE = timedelta(seconds=60)
HELD_AGAIN = timedelta(seconds=1)
MAX_HELD = 200
"""Messages that wait for somebody's locks; beyond it the oldest are forgotten, and devices say again what matters."""
RECEIPT_EXPIRY_S = 60
"""A receipt that finds nobody is not needed: the device repeats, and gets another."""


class Said(NamedTuple):
    """A message that makes sense."""

    received: Received
    device_uuid: str
    message: Message


class Listener:
    """Takes what devices say from the link; one per process."""

    def __init__(self, database: Database, link: BrokerLink, rules: Rules, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._rules = rules
        self._clock = clock
        self._held: list[Said] = []
        self._try_at = datetime(1970, 1, 1, tzinfo=UTC)
        self.poison = 0
        """Messages that made no sense, since the start."""

    def step(self, now: datetime) -> datetime:
        """Handle what has arrived; when to look again."""
        self._try_again(now)
        batch = self._arrived()
        if not batch:
            return now + (HELD_AGAIN if self._held else IDLE)
        said = [Said(received, *understood) for received in batch if (understood := self._understand(received))]
        try:
            held = self._store(said)
        except Exception:
            self._link.drop()
            raise
        for received in batch:
            self._link.ack(received)
        stored = [one for one in said if one not in held]
        self._answer(stored)
        self._held = [*(one for one in self._held if not _is_overtaken(one, stored)), *held][-MAX_HELD:]
        return now

    def _try_again(self, now: datetime) -> None:
        """What somebody's open transaction kept from being stored; the device was told nothing of it yet."""
        if self._try_at - HELD_AGAIN <= now < self._try_at:  # the clock may have been set back
            return
        self._try_at = now + HELD_AGAIN
        for one in list(self._held):
            try:
                self._database.transact(
                    self._handle, one.device_uuid, one.message, self._clock(), waits_for_locks=False
                )
            except Held:
                continue
            except SENSELESS as error:
                self._note_poison(one, error)
            else:
                self._answer([one])
            self._held.remove(one)

    def _arrived(self) -> list[Received]:
        batch: list[Received] = []
        while len(batch) < BATCH:
            try:
                batch.append(self._link.inbox.get_nowait())
            except queue.Empty:
                break
        return batch

    def _understand(self, received: Received) -> tuple[str, Message] | None:
        try:
            device_uuid, channel = parse(received.topic)
            decode = {Channel.PRESENCE: decode_presence, Channel.STATE: decode_state}.get(channel, decode_report)
            return device_uuid, decode(received.payload)
        except WireError as error:
            self.poison += 1
            log.warning("message makes no sense: %s", error, extra={"topic": received.topic[:200]})
            return None

    def _store(self, said: Sequence[Said]) -> list[Said]:
        """In one go, but at once what a buyer waits for; only when something makes no sense, each by itself.

        Gives those that must wait for somebody who holds their rows.
        """
        now = self._clock()
        stored: deque[tuple[Said, Callable[[], None]]] = deque()
        for one in said:
            work, key = (self._handle, one.device_uuid, one.message, now), _locked_by(one.device_uuid, one.message)
            if isinstance(one.message, ProbeReply):
                stored.appendleft((one, partial(self._database.transact, *work, key=key)))
            else:
                stored.append((one, self._database.transact(*work, key=key, deferred=True).result))
        held = []
        for one, end in stored:
            try:
                end()
            except SENSELESS as error:
                self._note_poison(one, error)
            except OperationalError as error:
                if not is_locked(error):
                    raise
                log.warning("somebody else holds what this message is about, it waits", extra=_facts(one))
                held.append(one)
        return held

    def _note_poison(self, one: Said, error: Exception) -> None:
        self.poison += 1
        log.error("message could not be taken in: %s", type(error).__name__, extra=_facts(one))

    def _handle(self, tx: Transaction, device_uuid: str, message: Message, now: datetime) -> None:
        match message:
            case Accepted():
                making.accepted(tx, device_uuid, message, self._rules, now)
            case Progress():
                making.progressed(tx, device_uuid, message, self._rules, now)
            case Outcome():
                making.reported(tx, device_uuid, message, self._rules, now)
            case Presence():
                _note_presence(tx, device_uuid, message, now)
            case State():
                _note_state(tx, device_uuid, message, now)
            case Event():
                machine_events.keep(tx, device_uuid, message, now)
            case ProbeReply():
                why = "" if message.ready else message.code or "fault"
                probes.answered(tx, device_uuid, message.probe_id, why, now)
            case Answer(asked=asked, status=status, code=code):
                facts = {"device": device_uuid, "command": message.reference}
                tx.log_after_commit(log.info, "%s: %s %s", asked, status.value, code, extra=facts)
            case Unsupported():
                tx.log_after_commit(
                    log.warning, "agent does not know %s", message.unknown_kind, extra={"device": device_uuid}
                )

    def _answer(self, said: Sequence[Said]) -> None:
        """After the commit: tell devices what we hold, and the time to those who ask."""
        held: dict[str, list[str]] = defaultdict(list)
        for received, device_uuid, message in said:
            if isinstance(message, Accepted | Outcome | Event):
                held[device_uuid].append(message.message_id)
            elif isinstance(message, Hello):
                self._welcome(device_uuid, message.hello_id)
                self._ask_what_became(device_uuid)
            elif isinstance(message, Presence) and message.online and received.retained:
                self._welcome(device_uuid, GREETING)  # its hello may have found nobody
        for device_uuid, ids in held.items():
            for start in range(0, len(ids), MAX_BATCH):
                self._tell(device_uuid, Receipt(message_ids=ids[start : start + MAX_BATCH]))

    def _welcome(self, device_uuid: str, hello_id: str) -> None:
        with self._database.read() as session:
            rival = sessions.rival(session.get(DeviceLive, device_uuid))
        welcome = Welcome(hello_id=hello_id, cloud_time=self._clock(), takes=TAKES, rival_session=rival or UNSET)
        self._tell(device_uuid, welcome)

    def _ask_what_became(self, device_uuid: str) -> None:
        """A device that has just connected may know of commands that we do not: all in one question.

        Not of those it can still begin: it may have lost them, and a question would have it refuse them for ever.
        """
        now = self._clock()
        with self._database.read() as session:
            commands = making.unheard_of(session, device_uuid, now, MAX_BATCH)
        for lost in [command for command in commands if making.is_undelivered(command, now)]:
            self._database.transact(making.send_again, lost.order_id, lost.id, now, key=order_key(lost.order_id))
            commands.remove(lost)
        if commands:
            asked = [making.asked_about(command) for command in commands]
            self._tell(device_uuid, Query(commands=asked), Channel.COMMAND)
            log.info("asked what became of %d commands", len(asked), extra={"device": device_uuid})

    def _tell(self, device_uuid: str, message: Message, channel: Channel = Channel.RECEIPT) -> None:
        try:
            self._link.publish(topic(device_uuid, channel), encode(message), RECEIPT_EXPIRY_S)
        except NotConnected:
            log.info("not told, the device will ask again", extra={"device": device_uuid})


def _facts(one: Said) -> dict[str, str]:
    return {"device": one.device_uuid, "order_id": getattr(one.message, "order_id", "")}


def _is_overtaken(one: Said, stored: Sequence[Said]) -> bool:
    """Of what describes a device only the newest is true."""
    newer = {(other.device_uuid, type(other.message)) for other in stored}
    return isinstance(one.message, Presence | State) and (one.device_uuid, type(one.message)) in newer


def _locked_by(device_uuid: str, message: Message) -> str:
    """Workers that meet in two orders never wait for each other: everybody locks in this order."""
    order_id = getattr(message, "order_id", "")
    return order_key(order_id) if order_id else f"device {device_uuid}"


def _note_presence(tx: Transaction, device_uuid: str, said: Presence, now: datetime) -> None:
    live = tx.session.get(DeviceLive, device_uuid, with_for_update=True)
    if live is None:
        tx.log_after_commit(log.warning, "presence of an unknown device", extra={"device": device_uuid})
        return
    if not said.online and said.session_id != live.session_id:
        return  # the last will of a session that has been replaced
    if said.online and not sessions.begin(tx, live, said, now):
        return
    if live.online != said.online:
        tx.log_after_commit(
            log.info, "device %s", "online" if said.online else "offline", extra={"device": device_uuid}
        )
    live.online, live.session_id, live.seen_at = said.online, said.session_id, now
    live.agent_version = said.agent_version or live.agent_version
    presence_history.note(tx, [live], now)


def _note_state(tx: Transaction, device_uuid: str, said: State, now: datetime) -> None:
    live = tx.session.get(DeviceLive, device_uuid, with_for_update=True)
    if live is None:
        return
    live.state, live.seen_at = msgspec.to_builtins(said), now
    live.frame_error_ratio = said.frame_error_ratio
    presence_history.note(tx, [live], now)
