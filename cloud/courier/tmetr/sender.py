"""Make commands of machines without an agent: from the outbox to the Tmetr API, each sent at most once.

A command that may have been heard is never sent again, whoever sent it and however that worker ended. "Forwarded" is
never "made": from here on only the merchant's own word can count it as poured (`docs/machines-without-agent.md`).
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from cloud.background.loops import Clock, Crew
from cloud.courier.tmetr.client import Forwarded, MakeOrder, Refused, TmetrClient
from cloud.courier.tmetr.http import NotTaken, Unknown
from cloud.database.database import Database
from cloud.orders import making, order_tasks, outbox, trusted_outcome, unpaid
from cloud.orders.locked_order import open_docket
from cloud.orders.models import MakeCommand, Order
from cloud.orders.outbox import Claim, OutboxRow
from cloud.orders.rules import Rules
from cloud.orders.tasks import Lane

log = logging.getLogger("cloud.courier")

IDLE_S = 60.0
LEASE_S = 30.0
"""Longer than the slowest call (5 s to connect, 10 s to answer): nobody judges a call that is under way."""
AGAIN_S = 2.0
TOO_LATE = "not handed to Tmetr before its deadline"
LOST = "an earlier attempt may have been heard"

Answer = Forwarded | Refused | NotTaken | Unknown


@dataclass(frozen=True)
class Letter:
    """One outbox row and the command it promises to send."""

    row: OutboxRow
    command: MakeCommand
    order: Order

    def facts(self) -> dict[str, object]:
        """Everything the command asks for, for the log."""
        return making.parameters(self.command, self.order) | {"task": self.row.task}


class TmetrSender:
    """One per process; `owner` names its leases, `crew` makes the calls."""

    def __init__(
        self, database: Database, client: TmetrClient, rules: Rules, owner: str, crew: Crew, clock: Clock
    ) -> None:
        self._database = database
        self._client = client
        self._rules = rules
        self._owner = owner
        self._crew = crew
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Take due commands as hands are free; when to look again."""
        free = self._crew.free
        if free <= 0:
            return now + timedelta(seconds=IDLE_S)  # a freed hand rings
        rows, next_due = self._database.write(self._take, now, free)
        for row in rows:
            self._crew.submit(partial(self._send, row))
        idle = now + timedelta(seconds=IDLE_S)
        return min(next_due or idle, idle)

    def _take(self, session: Session, now: datetime, limit: int) -> tuple[list[OutboxRow], datetime | None]:
        rows = list(outbox.claim(session, Lane.TMETR, now, Claim(self._owner, LEASE_S, limit)))
        return rows, outbox.next_due(session, Lane.TMETR)

    def _send(self, row: OutboxRow) -> None:
        with self._database.read() as session:
            letter = Letter(row, session.get_one(MakeCommand, row.subject), session.get_one(Order, row.order_id))
        try:
            answer = self._ask(letter)
        except Exception as error:  # a bug of ours must not leave a paid order waiting; the call may have gone out
            log.exception("make command could not be sent", extra=letter.facts())
            answer = Unknown(f"{type(error).__name__}: {error}"[:200])
        self._database.write(self._judge, letter, answer)

    def _ask(self, letter: Letter) -> Answer | None:
        """The only place that sends. None when nothing is wanted any more."""
        if not letter.command.live:
            return None
        if letter.row.attempts - letter.row.undone > 1:
            return Unknown(LOST)
        now = self._clock()
        left_s = (letter.command.deadline_at - now).total_seconds()
        if left_s <= 0:
            return NotTaken(TOO_LATE)
        if letter.row.claimed_until is None or now >= letter.row.claimed_until:
            return NotTaken("no hand was free in time")
        order = letter.order
        asked = MakeOrder(letter.command.device_uuid, order.id, order.drink_no, order.size, order.price)
        return self._client.make(asked, connect_s=left_s)

    def _judge(self, session: Session, letter: Letter, answer: Answer | None) -> None:
        """What one call proved holds for all."""
        now, order_id, make_id = self._clock(), letter.order.id, letter.command.id
        match answer:
            case None:
                self._settle(session, letter, "void", now)
            case Forwarded():
                making.published(session, order_id, make_id, self._rules, now)
                trusted_outcome.forwarded(session, order_id, make_id, now)
                self._settle(session, letter, "done", now)
                log.info("make command forwarded", extra=letter.facts())
            case Refused(why=why):
                making.not_sent(session, order_id, make_id, True, f"Tmetr refuses: {why}", self._rules, now)
                self._settle(session, letter, "refused", now)
            case NotTaken(why):
                self._again(session, letter, why, now)
            case Unknown(why):
                making.not_sent(session, order_id, make_id, False, f"Tmetr may have heard it: {why}", self._rules, now)
                self._settle(session, letter, "unknown", now)

    def _again(self, session: Session, letter: Letter, why: str, now: datetime) -> None:
        """Certainly nobody heard it: once more while the deadline lasts."""
        if now >= letter.command.deadline_at:
            making.not_sent(session, letter.order.id, letter.command.id, True, why, self._rules, now)
            self._settle(session, letter, "expired", now)
            return
        log.error("make command not sent, will try until its deadline: %s", why, extra=letter.facts())
        docket = open_docket(session, letter.order.id)
        order_tasks.nothing_done(docket, letter.row.key)
        unpaid.stop_what_nobody_pays_for(docket, now)
        order_tasks.put_off(docket, letter.row.key, self._owner, now + timedelta(seconds=AGAIN_S), why)

    def _settle(self, session: Session, letter: Letter, verdict: str, now: datetime) -> None:
        order_tasks.settle(open_docket(session, letter.order.id), letter.row.key, self._owner, verdict, now)
