"""From the outbox to the broker: commands and questions with the expiry of their deadline; settled after PUBACK.

"Published" is never "delivered": from here on the deadline and the device's own word decide (architecture 4).
"""

import logging
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.courier.broker import Acknowledged, BrokerLink, NotConnected
from cloud.database.database import Database
from cloud.database.due import is_due
from cloud.database.group_commit import when_it_fails
from cloud.orders import making, order_tasks, outbox, unpaid
from cloud.orders.locked_order import Docket, key_of, open_docket
from cloud.orders.models import MakeCommand, Order
from cloud.orders.order_tasks import AtHand
from cloud.orders.outbox import Claim, OutboxRow
from cloud.orders.rules import Rules
from cloud.orders.status_change import tell
from cloud.orders.tasks import STOPPED, Lane, Task
from protocol.messages import Cancel, Make, Message, Query, encode
from protocol.topics import Channel, topic

log = logging.getLogger("cloud.courier")

LEASE_S = 30.0
MAX_GIVEN = 200
"""Rows claimed for us and not sent; beyond it we look for them ourselves."""
AGAIN_S = 2.0
"""Nobody subscribed, or the broker asked us to slow down: the device may connect before the deadline."""
QUERY_EXPIRY_S = 24 * 3600
CANCEL_EXPIRY_S = 30
"""Or as long as the command it takes back, which the broker may hold as well."""
LONGEST_QUERY_WAIT_S = 300.0
"""A question about the past is no hurry: an agent that stays away is asked ever more rarely, for a day."""
FAILED = 128
"""MQTT reason codes from here on are refusals."""
NOBODY_SUBSCRIBED = 16
PASSING = frozenset({0x89, 0x97})
"""Server busy, quota exceeded."""


Given = tuple[OutboxRow, MakeCommand, Order]


@dataclass(frozen=True)
class Letter:
    """One outbox row, ready to be sent."""

    row: OutboxRow
    command: MakeCommand
    order: Order
    message: Message
    expiry_s: int

    def facts(self) -> dict[str, object]:
        """Everything the command asks for, for the log."""
        return making.parameters(self.command, self.order) | {"task": self.row.task}


class Publisher:
    """One per process; `owner` names its leases."""

    def __init__(self, database: Database, link: BrokerLink, rules: Rules, owner: str, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._rules = rules
        self._owner = owner
        self._clock = clock
        self._awaiting: dict[int, Letter] = {}
        """Sent and not answered, by the broker link's number."""
        self._connection = 0
        """The link's connection they were sent over."""
        self._given: deque[Given] = deque()
        """Claimed for us by those who wrote them; nobody has to look for these."""
        self._mail = database.bell.listen(outbox.topic(Lane.MQTT))
        self._look_at: datetime | None = None
        self.wake: Callable[[], None] = lambda: None
        """Called when something was given to us: step soon."""

    def step(self, now: datetime) -> datetime:
        """Settle what the broker has answered, send what is due; when to look again."""
        self._settle_answers()
        self._recover_lost(now)
        if not self._link.connected:
            self._give_back()
            return now + self._idle()  # the link rings when it is back
        while self._given:
            self._send_given(*self._given.popleft(), now)
        if self._mail.wait(0) or self._look_at is None or is_due(self._look_at, now, self._idle()):
            letters, next_due = self._database.write(self._take, now)
            for letter in letters:
                self._send(letter)
            idle = now + self._idle()
            self._look_at = min(next_due or idle, idle)
        self._settle_answers()
        return self._look_at

    def _idle(self) -> timedelta:
        return timedelta(seconds=self._database.bell.longest_sleep_s)

    def at_hand(self) -> AtHand:
        """For `promises.know_at_hand`: rows written in this process need not be looked for."""
        return AtHand(Claim(self._owner, LEASE_S), self._prepare)

    def _prepare(self, docket: Docket, row: OutboxRow) -> Callable[[], None] | None:
        if not self._link.connected or len(self._given) >= MAX_GIVEN:
            return None
        return partial(self._give, (row, docket.command(row.subject), docket.order))

    def _give(self, given: Given) -> None:
        self._given.append(given)
        self.wake()

    def _give_back(self) -> None:
        """What was given to us goes back unsent, and certainly so."""
        while self._given:
            self._database.write(self._again, self._given.popleft()[0], "no connection to the broker")

    def _send_given(self, row: OutboxRow, command: MakeCommand, order: Order, now: datetime) -> None:
        letter = _write(row, command, order, now)
        if letter is not None:
            self._send(letter)
        else:
            self._database.write(outbox.void, row, self._owner, now)

    def _take(self, session: Session, now: datetime) -> tuple[list[Letter], datetime | None]:
        letters = []
        for row in outbox.claim(session, Lane.MQTT, now, Claim(self._owner, LEASE_S)):
            letter = _write(row, *_subject(session, row), now)
            if letter is None:
                outbox.void(session, row, self._owner, now)
            else:
                letters.append(letter)
        return letters, outbox.next_due(session, Lane.MQTT)

    def _send(self, letter: Letter) -> None:
        try:
            to = topic(letter.command.device_uuid, Channel.COMMAND)
            self._awaiting[self._link.publish(to, encode(letter.message), letter.expiry_s)] = letter
        except (NotConnected, OSError) as error:
            log.error("make command not sent, will try until its deadline: %s", error, extra=letter.facts())
            self._database.write(self._again, letter.row, str(error))
        except Exception as error:  # a bug of ours must not leave a paid order waiting for its deadline
            log.exception("make command could not be sent", extra=letter.facts())
            self._database.write(self._never, letter.row, f"{type(error).__name__}: {error}"[:200])

    def _settle_answers(self) -> None:
        answers: list[Acknowledged] = []
        while True:
            try:
                answers.append(self._link.acknowledged.get_nowait())
            except queue.Empty:
                break
        for answer in answers:
            letter = self._awaiting.pop(answer.mid, None)
            if letter is not None:
                settled = self._database.write_soon(key_of(letter.order.id), self._answered, letter, answer.code)
                when_it_fails(settled, partial(_not_stored, letter))

    def _answered(self, session: Session, letter: Letter, code: int) -> None:
        docket = open_docket(session, letter.order.id)
        if code == NOBODY_SUBSCRIBED or code in PASSING:
            tell(session, log.warning, "no machine took the command (code %d)", code, extra=letter.facts())
            self._again(session, letter.row, f"broker code {code}")
        elif code >= FAILED:
            tell(session, log.error, "the broker refused the command (code %d)", code, extra=letter.facts())
            self._never(session, letter.row, f"broker code {code}")
        elif order_tasks.settle(docket, letter.row.key, self._owner, "done", self._clock()) or _was_stopped(
            docket, letter
        ):
            tell(session, log.info, "%s published", letter.row.task, extra=letter.facts())
            if letter.row.task == Task.MAKE:
                making.published(session, letter.order.id, letter.command.id, self._rules, self._clock())

    def _again(self, session: Session, row: OutboxRow, why: str) -> None:
        """Certainly nothing was delivered: again while the deadline lasts."""
        docket = open_docket(session, row.order_id)
        order_tasks.nothing_done(docket, row.key)
        if row.task == Task.MAKE:
            unpaid.stop_what_nobody_pays_for(docket, self._clock())
        wait = AGAIN_S if row.task != Task.QUERY else min(AGAIN_S * 2 ** min(row.attempts, 10), LONGEST_QUERY_WAIT_S)
        order_tasks.put_off(docket, row.key, self._owner, self._clock() + timedelta(seconds=wait), why)

    def _never(self, session: Session, row: OutboxRow, why: str) -> None:
        """It will not be sent at all."""
        now = self._clock()
        docket = open_docket(session, row.order_id)
        if order_tasks.settle(docket, row.key, self._owner, "refused", now) and row.task == Task.MAKE:
            making.not_sent(session, row.order_id, row.subject, True, why, self._rules, now)

    def _lost(self, session: Session, row: OutboxRow, now: datetime) -> None:
        """The broker may have it, and may not."""
        order_tasks.put_off(open_docket(session, row.order_id), row.key, self._owner, now, "connection lost")

    def _recover_lost(self, now: datetime) -> None:
        """Letters whose answer will never come, because their connection is gone or their lease: sent again."""
        is_same = self._link.connections == self._connection
        self._connection = self._link.connections
        for mid, letter in list(self._awaiting.items()):
            if not is_same:
                self._look_at = None
                self._database.write(self._lost, letter.row, now)
            if not is_same or is_due(letter.row.claimed_until or now, now, timedelta(seconds=LEASE_S)):
                del self._awaiting[mid]


def _not_stored(letter: Letter, error: Exception) -> None:
    """What could not be settled is sent again when its lease ends; the device knows the command by then."""
    log.error("the broker's answer could not be stored", exc_info=error, extra=letter.facts())


def _was_stopped(docket: Docket, letter: Letter) -> bool:
    """Nobody was to send it again, but this sending was on its way."""
    return order_tasks.of(docket, letter.row.key).verdict == STOPPED


def _subject(session: Session, row: OutboxRow) -> tuple[MakeCommand, Order]:
    """Read only: who holds an outbox row must not wait for its order."""
    return session.get_one(MakeCommand, row.subject), session.get_one(Order, row.order_id)


def _write(row: OutboxRow, command: MakeCommand, order: Order, now: datetime) -> Letter | None:
    """The message of this row; None when it has become pointless."""
    if row.task == Task.QUERY:
        if now - row.created_at >= timedelta(seconds=QUERY_EXPIRY_S):
            return None
        asked = Query(commands=[making.asked_about(command)])
        return Letter(row, command, order, asked, QUERY_EXPIRY_S)
    left_s = (command.deadline_at - now).total_seconds()
    if row.task == Task.CANCEL_MAKE and command.live:
        back = Cancel(
            command_id=command.id, order_id=order.id, issued_at=command.issued_at, deadline_at=command.deadline_at
        )
        return Letter(row, command, order, back, max(CANCEL_EXPIRY_S, int(left_s) + 1))
    if row.task != Task.MAKE or not command.live or left_s <= 0:
        return None
    make = Make(
        command_id=command.id, order_id=order.id, attempt=command.attempt, drink_no=order.drink_no, size=order.size,
        price=order.price, issued_at=command.issued_at, deadline_at=command.deadline_at,
    )  # fmt: skip
    return Letter(row, command, order, make, max(1, int(left_s)))
