"""From the outbox to the broker: commands and questions with the expiry of their deadline; settled after PUBACK.

"Published" is never "delivered": from here on the deadline and the device's own word decide (architecture 4).
"""

import logging
import queue
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cloud.courier.broker import Acknowledged, BrokerLink, NotConnected
from cloud.db import Database
from cloud.loops import Clock
from cloud.orders import making, outbox
from cloud.orders.models import MakeCommand, Order
from cloud.orders.outbox import Claim, Lane, OutboxRow, Task
from cloud.orders.rules import Rules
from protocol.messages import Asked, Make, Message, Query, encode
from protocol.topics import Channel, topic

log = logging.getLogger("cloud.courier")

LEASE_S = 30.0
AGAIN_S = 2.0
"""Nobody subscribed, or the broker asked us to slow down: the device may connect before the deadline."""
QUERY_EXPIRY_S = 24 * 3600
FAILED = 128
"""MQTT reason codes from here on are refusals."""
NOBODY_SUBSCRIBED = 16
PASSING = frozenset({0x89, 0x97})
"""Server busy, quota exceeded."""


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
        return {
            "order_id": self.order.id, "device": self.command.device_uuid, "command": self.command.id,
            "attempt": self.command.attempt, "drink_no": self.order.drink_no, "size": self.order.size,
            "price": self.order.price, "issued_at": self.command.issued_at.isoformat(),
            "deadline_at": self.command.deadline_at.isoformat(), "task": self.row.task,
        }  # fmt: skip


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

    def step(self, now: datetime) -> datetime:
        """Settle what the broker has answered, send what is due; when to look again."""
        self._settle_answers()
        if self._link.connected:
            letters = self._database.write(self._take, now)
            for letter in letters:
                self._send(letter)
            if letters:
                self._settle_answers()
        self._forget_lost(now)
        with self._database.read() as session:
            return outbox.next_due(session, Lane.MQTT) or now + timedelta(seconds=1)

    def _take(self, session: Session, now: datetime) -> list[Letter]:
        letters = []
        for row in outbox.claim(session, Lane.MQTT, now, Claim(self._owner, LEASE_S)):
            command = session.get_one(MakeCommand, row.subject)
            order = session.get_one(Order, row.order_id)
            letter = _write(row, command, order, now)
            if letter is None:
                outbox.settle(session, row.id, self._owner, "void", now)
            else:
                letters.append(letter)
        return letters

    def _send(self, letter: Letter) -> None:
        to = topic(letter.command.device_uuid, Channel.COMMAND)
        try:
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
        mine = [(self._awaiting.pop(answer.mid), answer.code) for answer in answers if answer.mid in self._awaiting]
        if mine:
            self._database.write(self._answered, mine)

    def _answered(self, session: Session, answers: list[tuple[Letter, int]]) -> None:
        for letter, code in answers:
            if code == NOBODY_SUBSCRIBED or code in PASSING:
                log.warning("no machine took the command (code %d)", code, extra=letter.facts())
                self._again(session, letter.row, f"broker code {code}")
            elif code >= FAILED:
                log.error("the broker refused the command (code %d)", code, extra=letter.facts())
                self._never(session, letter.row, f"broker code {code}")
            elif outbox.settle(session, letter.row.id, self._owner, "done", self._clock()):
                log.info("%s published", letter.row.task, extra=letter.facts())
                if letter.row.task == Task.MAKE:
                    making.published(session, letter.row.subject, self._rules, self._clock())

    def _again(self, session: Session, row: OutboxRow, why: str) -> None:
        """Certainly nothing was delivered: again while the deadline lasts."""
        session.get_one(OutboxRow, row.id).undone += 1
        outbox.put_off(session, row.id, self._owner, self._clock() + timedelta(seconds=AGAIN_S), why)

    def _never(self, session: Session, row: OutboxRow, why: str) -> None:
        """It will not be sent at all."""
        now = self._clock()
        if outbox.settle(session, row.id, self._owner, "refused", now) and row.task == Task.MAKE:
            making.not_sent(session, row.subject, True, why, self._rules, now)

    def _forget_lost(self, now: datetime) -> None:
        """Letters whose answer never came (connection lost): their lease ends, and the row is taken again."""
        for mid, letter in list(self._awaiting.items()):
            if letter.row.claimed_until is not None and letter.row.claimed_until <= now:
                del self._awaiting[mid]


def _write(row: OutboxRow, command: MakeCommand, order: Order, now: datetime) -> Letter | None:
    """The message of this row; None when it has become pointless."""
    if row.task == Task.QUERY:
        asked = Query(commands=[Asked(command_id=command.id, order_id=order.id)])
        return Letter(row, command, order, asked, QUERY_EXPIRY_S)
    left_s = (command.deadline_at - now).total_seconds()
    if row.task != Task.MAKE or not command.live or left_s <= 0:
        return None
    make = Make(
        command_id=command.id, order_id=order.id, attempt=command.attempt, drink_no=order.drink_no, size=order.size,
        price=order.price, issued_at=command.issued_at, deadline_at=command.deadline_at,
    )  # fmt: skip
    return Letter(row, command, order, make, max(1, int(left_s)))
