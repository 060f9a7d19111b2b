"""Asks the provider about every payment that is not final, until it is: the fact behind webhooks, and what they lose.

Two lists: payments whose `next_check_at` has come, and notifications of payments we do not know (adopted when ours).
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Integer, and_, bindparam, exists, func, select, update
from sqlalchemy.orm import Session

from cloud.commits import after_commit, ring
from cloud.db import Database, UtcDateTime
from cloud.due import due
from cloud.loops import Clock, Crew
from cloud.orders import paying
from cloud.orders.docket import key_of, open_docket
from cloud.orders.models import Payment
from cloud.orders.rules import Rules
from cloud.payments.believing import news_of
from cloud.payments.facts import PaymentFacts, RefundFacts, RefundStatus
from cloud.payments.models import ProviderNews
from cloud.payments.outcomes import NotOurs, Ok, next_ask
from cloud.payments.provider import Provider
from cloud.payments.shops import NoCredential, Shops
from cloud.rows import plain, table_of
from protocol import json_text

log = logging.getLogger("cloud.payments.recheck")

NEWS = "news"
"""What the bell rings when something may be worth asking about."""
ADOPTED = "adopted"
LEASE_S = 30.0
"""Longer than the slowest answer (5 s to connect, 12 s to read): what a dying worker held is asked again after it."""
LONGEST_WAIT = timedelta(hours=1, minutes=10)
"""No payment is ever left alone for longer, unless polling is slower."""
ADOPT_FOR_S = 24 * 3600.0
"""A notification is redelivered for a day; what nobody could place by then is left to reconciliation."""


_payment, _news = table_of(Payment), table_of(ProviderNews)
_lease_until = bindparam("lease_until", type_=UtcDateTime())
_beyond = bindparam("beyond", type_=UtcDateTime())
_held_no_longer = bindparam("held_no_longer", type_=UtcDateTime())
_to_look_at = due(_news.c.look_at, bindparam("now", type_=UtcDateTime()), _held_no_longer)
_unplaced = and_(_news.c.handled_at.is_(None), _to_look_at)
_WHAT_ELSE = select(func.min(_payment.c.next_check_at), exists().where(_unplaced))
_DUE = (
    select(_payment.c.id)
    .where(due(_payment.c.next_check_at, bindparam("now", type_=UtcDateTime()), _beyond))
    .order_by(_payment.c.next_check_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_TAKE_DUE = (
    update(_payment)
    .where(_payment.c.id.in_(select(_DUE.c.id)))
    .values(next_check_at=_lease_until)
    .returning(*_payment.c)
)
_TAKE_ONE = (
    update(_payment)
    .where(_payment.c.provider_payment_id == bindparam("told_of"))
    .values(next_check_at=_lease_until)
    .returning(*_payment.c)
)
_AT_HAND = "recheck"


class _Recipient(msgspec.Struct, frozen=True):
    account_id: str = ""


class _Hint(msgspec.Struct, frozen=True):
    recipient: _Recipient = _Recipient()


class _Envelope(msgspec.Struct, frozen=True):
    object: _Hint = _Hint()


class Recheck:
    """One per process; several processes share the work by leases."""

    def __init__(
        self, database: Database, shops: Shops, rules: Rules, crew: Crew, jitter: Callable[[], float], clock: Clock
    ) -> None:
        self._database = database
        self._shops = shops
        self._rules = rules
        self._crew = crew
        self._jitter = jitter
        self._clock = clock

    def at_hand(self, known: dict[str, Any], here: bool) -> None:
        """Sessions that find `known` in their `info` hand us payments in the commit that wants them asked about."""
        known[_AT_HAND] = self if here else None

    def take_one(self, session: Session, provider_payment_id: str, now: datetime) -> bool | None:
        """Take a payment in the caller's transaction and ask about it. None when no hand is free.

        Asking changes nothing, so it need not wait for the commit. The answer is stored after it: SQLite has one
        writer, PostgreSQL locks the payment's row.
        """
        if self._crew.free <= 0:
            return None
        wanted = {"told_of": provider_payment_id, "lease_until": now + timedelta(seconds=LEASE_S)}
        found = session.connection().execute(_TAKE_ONE, wanted).first()
        if found is not None:
            check = partial(self._check, plain(Payment, found))
            if self._crew.is_apart:
                self._crew.submit(check)
            else:
                after_commit(session, partial(self._crew.submit, check))
        return found is not None

    def step(self, now: datetime) -> datetime:
        """Ask what is due as hands are free; when to look again."""
        idle = now + timedelta(seconds=1)
        free = self._crew.free
        if free <= 0:
            return idle  # a freed hand rings
        taken = self._take_due(now, free)
        for payment in taken:
            self._crew.submit(partial(self._check, payment))
        [(soonest, is_unplaced)] = self._database.write_one(
            _WHAT_ELSE, {"now": now, "held_no_longer": now + timedelta(seconds=LEASE_S)}
        )
        if is_unplaced and len(taken) < free:
            for news in self._database.write(self._take_unplaced, now, free - len(taken)):
                self._crew.submit(partial(self._adopt, news, now))
        return soonest or idle

    def _take_due(self, now: datetime, limit: int) -> Sequence[Payment]:
        """Due payments; the next check moves a lease ahead, so that others leave them alone meanwhile."""
        wanted = {"now": now, "limit": limit, "lease_until": now + timedelta(seconds=LEASE_S)}
        wanted["beyond"] = now + max(LONGEST_WAIT, timedelta(seconds=self._rules.payment_poll_slow_s))
        return [plain(Payment, row) for row in self._database.write_one(_TAKE_DUE, wanted)]

    def _check(self, payment: Payment) -> None:
        try:
            provider = self._shops.of_payment(payment)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": payment.order_id})
            self._database.write(self._unanswered, payment.id, 60.0)
            return
        outcome = provider.fetch(payment.provider_payment_id or "")
        match outcome:
            case Ok(facts):
                refunds = _refunds_of(payment, provider) if facts.refunded > payment.refunded else ()
                self._database.write_together(key_of(payment.order_id), self._answered, payment, facts, refunds)
            case NotOurs():
                log.error("provider does not know the payment", extra={"order_id": payment.order_id})
                self._database.write(self._unanswered, payment.id, 300.0)
            case _:
                wait = next_ask(payment.checks + 1, getattr(outcome, "retry_after_s", None), self._jitter)
                log.warning(
                    "payment not known: %s",
                    type(outcome).__name__,
                    extra={"order_id": payment.order_id, "again_s": wait},
                )
                self._database.write(self._unanswered, payment.id, wait)

    def _answered(
        self, session: Session, taken: Payment, facts: PaymentFacts, refunds: Sequence[RefundFacts] | None
    ) -> None:
        """All of one answer in one commit: an end of the asking without its refunds would be an end for good."""
        now = self._clock()
        payment_id = taken.id
        payment = open_docket(session, taken.order_id).payment(payment_id)
        asked_again = payment.next_check_at if payment.next_check_at != taken.next_check_at else None
        news = news_of(facts, payment)
        if news is None:
            paying.check_failed(session, payment_id, now + timedelta(seconds=60))
        else:
            paying.payment_news(session, payment_id, news, self._rules, now)
        for refund in refunds or ():
            paying.refund_news(session, payment_id, refund.provider_refund_id, refund.amount, now)
        if refunds is None:
            paying.check_failed(session, payment_id, now + timedelta(seconds=60))
        if asked_again is not None:  # newer news came while we asked: this answer may be the older one
            payment.next_check_at = asked_again

    def _unanswered(self, session: Session, payment_id: str, wait_s: float) -> None:
        paying.check_failed(session, payment_id, self._clock() + timedelta(seconds=wait_s))

    def _take_unplaced(self, session: Session, now: datetime, limit: int) -> Sequence[ProviderNews]:
        beyond = now + timedelta(seconds=LEASE_S)
        open_news = select(ProviderNews).where(
            ProviderNews.handled_at.is_(None), due(ProviderNews.look_at, now, beyond)
        )
        oldest = open_news.order_by(ProviderNews.received_at).limit(limit)
        taken = session.scalars(oldest.with_for_update(skip_locked=True)).all()
        for news in taken:
            news.look_at = now + timedelta(seconds=LEASE_S)
        return taken

    def _adopt(self, news: ProviderNews, now: datetime) -> None:
        """A notification of a payment we cannot place: our create's answer may be lost, or not stored yet."""
        try:
            provider = self._shops.of_account(_account_hint(news.body))
        except NoCredential as error:
            log.error("%s", error, extra={"provider_payment": news.provider_payment_id})
            provider = None
        outcome = provider.fetch(news.provider_payment_id) if provider is not None else None
        if isinstance(outcome, Ok):
            adopted = self._database.write(self._place, news.id, outcome.value)
            if adopted is not None:
                self._check(adopted)
        elif outcome is None or isinstance(outcome, NotOurs) or now - news.received_at > timedelta(seconds=ADOPT_FOR_S):
            log.warning(
                "notification of a payment that is not ours", extra={"provider_payment": news.provider_payment_id}
            )
            self._database.write(self._set_aside, news.id, "not ours")

    def _place(self, session: Session, news_id: int, facts: PaymentFacts) -> Payment | None:
        """The payment it turned out to be, taken to be asked about."""
        now = self._clock()
        payment = session.get(Payment, facts.metadata.get("payment", ""))
        news = news_of(facts, payment) if payment is not None else None
        mine = payment is not None and payment.provider_payment_id in {None, facts.provider_payment_id}
        if payment is not None and news is not None and mine:
            self._set_aside(session, news_id, ADOPTED)
            return paying.adopt(session, payment.id, facts.provider_payment_id, now + timedelta(seconds=LEASE_S))
        self._set_aside(session, news_id, "no such payment")
        return None

    def _set_aside(self, session: Session, news_id: int, verdict: str) -> None:
        news = session.get_one(ProviderNews, news_id)
        news.handled_at, news.verdict = self._clock(), verdict


def ask_at_once(session: Session, provider_payment_id: str, now: datetime) -> bool:
    """Somebody spoke of this payment: have the provider asked as soon as the caller's work is committed.

    False when no payment of ours has this id.
    """
    asker: Recheck | None = session.info.get(_AT_HAND)
    known = asker.take_one(session, provider_payment_id, now) if asker is not None else None
    if known is None:
        ring(session, NEWS)
        told_of = _payment.c.provider_payment_id == provider_payment_id
        known = session.connection().execute(update(_payment).where(told_of).values(next_check_at=now)).rowcount > 0
    return known


def _refunds_of(payment: Payment, provider: Provider) -> Sequence[RefundFacts] | None:
    """Those that succeeded: ours whose answer was lost, and what people gave back in the cabinet. None: not known."""
    outcome = provider.list_refunds(payment_id=payment.provider_payment_id)
    if not isinstance(outcome, Ok):
        return None
    return [refund for refund in outcome.value.items if refund.status is RefundStatus.SUCCEEDED]


def _account_hint(body: str) -> str:
    """Which shop the notification says it speaks of; only used to choose whom to ask."""
    try:
        return json_text.decode(body, _Envelope).object.recipient.account_id
    except json_text.NotJson:
        return ""
