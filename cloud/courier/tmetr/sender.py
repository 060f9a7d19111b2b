"""Make commands of machines without an agent: from the outbox to the Tmetr API, each sent at most once.

A command that may have been heard is never sent again, whoever sent it and however that worker ended. "Forwarded" is
never "made": from here on only the merchant's own word can count it as poured (`docs/machines-without-agent.md`).
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from cloud.background.loops import Clock, ThreadPool
from cloud.courier.outgoing import OutgoingCommand, OutgoingCommands, command_of
from cloud.courier.tmetr.client import Forwarded, MakeOrder, Refused, TmetrClient
from cloud.courier.tmetr.http import NotTaken, Unknown
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import making, trusted_outcome
from cloud.orders.locked_order import lock_order
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import OutboxRow
from cloud.orders.pour_again import price_of_drink
from cloud.orders.tasks import DONE, OVERDUE, REFUSED, UNKNOWN, VOID, Lane, may_be_done_before

log = logging.getLogger("cloud.courier")

IDLE_S = 60.0
TOO_LATE = "not handed to Tmetr before its deadline"
LOST = "an earlier attempt may have been heard"

Answer = Forwarded | Refused | NotTaken | Unknown


class TmetrSender:
    """One per process; `owner` names its leases, `pool` makes the calls."""

    def __init__(
        self, database: Database, client: TmetrClient, rules: OrderLimits, owner: str, pool: ThreadPool, clock: Clock
    ) -> None:
        self._database = database
        self._client = client
        self._rules = rules
        self._owner = owner
        self._pool = pool
        self._clock = clock
        self._rows = OutgoingCommands(Lane.TMETR, owner)

    def step(self, now: datetime) -> datetime:
        """Take due commands as slots are free; when to look again."""
        free = self._pool.free
        if free <= 0:
            return now + timedelta(seconds=IDLE_S)  # a freed slot wakes us
        rows, next_due = self._database.transact(self._take, free)
        for row in rows:
            self._pool.submit(partial(self._send, row))
        idle = now + timedelta(seconds=IDLE_S)
        return min(next_due or idle, idle)

    def _take(self, tx: Transaction, limit: int) -> tuple[Sequence[OutboxRow], datetime | None]:
        """Claim as of now: at the step's old moment, after a standstill, the leases of others would mean nothing."""
        return self._rows.claim(tx, self._clock(), limit), self._rows.next_due(tx.session)

    def _send(self, row: OutboxRow) -> None:
        with self._database.read() as session:
            sent = command_of(session, row)
            price = price_of_drink(session, sent.order)
        try:
            answer = self._ask(sent, price)
        except Exception as error:  # a bug of ours must not leave a paid order waiting; the call may have gone out
            log.exception("make command could not be sent", extra=sent.log_fields())
            answer = Unknown(f"{type(error).__name__}: {error}"[:200])
        self._database.transact(self._judge, sent, answer)

    def _ask(self, sent: OutgoingCommand, price: int) -> Answer | None:
        """Send it: the only place that does. Tmetr takes no price of nothing. None when nothing is wanted any more."""
        if not sent.command.live:
            return None
        if may_be_done_before(sent.row):
            return Unknown(LOST)
        now = self._clock()
        left_s = making.seconds_left(sent.command, now)
        if left_s <= 0:
            return NotTaken(TOO_LATE)
        if sent.row.claimed_until is None or now >= sent.row.claimed_until:
            return NotTaken("no hand was free in time")
        order = sent.order
        asked = MakeOrder(sent.command.device_uuid, order.id, order.drink_no, order.size, price)
        return self._client.make(asked, connect_s=left_s)

    def _judge(self, tx: Transaction, sent: OutgoingCommand, answer: Answer | None) -> None:
        """What one call proved holds for all."""
        now, order_id, command_id = self._clock(), sent.order.id, sent.command.id
        match answer:
            case None:
                self._rows.settle(tx, sent.row, VOID, now)
            case Forwarded():
                locked = lock_order(tx, order_id)
                making.record_published(locked, locked.command(command_id), self._rules, now)
                trusted_outcome.forwarded(tx, order_id, command_id, now)
                self._rows.settle(tx, sent.row, DONE, now)
                tx.log_after_commit(log.info, "make command forwarded", extra=sent.log_fields())
            case Refused(why=why):
                making.record_not_sent(
                    tx, order_id, command_id, f"Tmetr refuses: {why}", self._rules, now, certain=True
                )
                self._rows.settle(tx, sent.row, REFUSED, now)
            case NotTaken(why):
                self._again(tx, sent, why, now)
            case Unknown(why):
                words = f"Tmetr may have heard it: {why}"
                making.record_not_sent(tx, order_id, command_id, words, self._rules, now, certain=False)
                self._rows.settle(tx, sent.row, UNKNOWN, now)

    def _again(self, tx: Transaction, sent: OutgoingCommand, why: str, now: datetime) -> None:
        """Certainly nobody heard it: once more while the deadline lasts."""
        if making.seconds_left(sent.command, now) <= 0:
            making.record_not_sent(tx, sent.order.id, sent.command.id, why, self._rules, now, certain=True)
            self._rows.settle(tx, sent.row, OVERDUE, now)
            return
        tx.log_after_commit(
            log.error, "make command not sent, will try until its deadline: %s", why, extra=sent.log_fields()
        )
        self._rows.reschedule_undelivered(tx, sent.row, why, now)
