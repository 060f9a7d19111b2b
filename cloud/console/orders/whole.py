"""Everything about one order, read once: its facts for the verdict, and the stream of what happened."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.orders.facts import MONEY_TASKS, facts_of
from cloud.console.orders.timeline import Line, Who, merged, who_of
from cloud.console.orders.verdict import Facts
from cloud.fleet.closing import BREAKER, CLOSED_EVENT, OPENED_EVENT
from cloud.fleet.machine_events import MachineEvent
from cloud.fleet.models import Device
from cloud.orders import claims
from cloud.orders.claims import Claim, ClaimMessage
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.operator_actions import left_to_return
from cloud.orders.outbox import OutboxRow
from cloud.orders.return_requests import IS_OPEN, ReturnRequest
from cloud.orders.return_rules import ReturnReason
from cloud.orders.tasks import DONE, WITHDRAWN
from cloud.payments.models import StoredNotification

BEFORE, AFTERWARDS = timedelta(minutes=2), timedelta(minutes=10)
"""What its machine told of itself around the order belongs to its story."""
MOST_EVENTS = 60


@dataclass(frozen=True)
class Talk:
    """One claim, and all that was said in it."""

    claim: Claim
    messages: Sequence[ClaimMessage]


@dataclass(frozen=True)
class WholeOrder:
    """One order as its page shows it."""

    order: Order
    location: str
    facts: Facts
    lines: Sequence[Line]
    payments: Sequence[Payment]
    talks: Sequence[Talk]
    open_request: ReturnRequest | None
    instead_of: str
    """The order a free drink was poured for."""
    again: Sequence[str]
    """Free orders poured in place of this one."""
    left: int
    """Kopecks that a person can still return of it."""

    @property
    def said(self) -> int:
        """What its reader can see was said: `claims.said_so_far`."""
        return claims.said_so_far(talk.messages for talk in self.talks)


def whole_order(session: Session, scope: Scope, order_id: str, now: datetime) -> WholeOrder | None:
    """The order with all that belongs to it; None outside of the scope."""
    inside = scope.where(Order.merchant_id, Order.device_uuid)
    order = session.scalar(select(Order).where(Order.id == order_id, inside))
    if order is None:
        return None
    payments = _all(session, Payment, order_id, Payment.started_at)
    tasks = [row for row in _all(session, OutboxRow, order_id, OutboxRow.id) if row.task in MONEY_TASKS]
    moves = _all(session, Movement, order_id, Movement.id)
    changes = _all(session, OrderChange, order_id, OrderChange.id)
    commands = _all(session, MakeCommand, order_id, MakeCommand.attempt)
    talks = [Talk(claim, claims.messages_of(session, claim.id)) for claim in claims.claims_of(session, order_id)]
    lines = merged(
        _of_changes(changes), _of_commands(commands), _of_moves(moves), _of_tasks(tasks),
        _of_notifications(session, payments), _of_talks(talks), _of_machine(session, order, now),
    )  # fmt: skip
    return WholeOrder(
        order=order,
        location=session.scalar(select(Device.location).where(Device.device_uuid == order.device_uuid)) or "",
        facts=facts_of(order, payments, tasks, moves),
        lines=lines,
        payments=payments,
        talks=talks,
        open_request=session.scalar(select(ReturnRequest).where(ReturnRequest.order_id == order_id, text(IS_OPEN))),
        instead_of=_named(changes, "instead_of"),
        again=[str(line.evidence["order"]) for line in changes if line.event == "poured_again" and _has(line, "order")],
        left=left_to_return(order, payments),
    )


def _of_changes(changes: Sequence[OrderChange]) -> Iterator[Line]:
    for row in changes:
        who, evidence = who_of(row.actor), dict(row.evidence or {})
        reason, words = row.reason, ""
        if row.event == "noted":
            words = str(evidence.pop("words", ""))
        elif row.event in {"return_decided", "return_declined", "resolved", "poured_again"}:
            reason, words = _split(row.reason) if row.event == "return_decided" else ("", row.reason)
        kopecks = evidence.pop("kopecks", None)
        yield Line(
            row.at, who, row.event, row.actor if who is Who.PERSON else "", reason, words,
            kopecks if isinstance(kopecks, int) else None, evidence,
        )  # fmt: skip


def _split(reason: str) -> tuple[str, str]:
    """A closed reason and the words after it, as `return_requests` joins them."""
    code, _, words = reason.partition(": ")
    return (code, words) if code in set(ReturnReason) else ("", reason)


def _of_commands(commands: Sequence[MakeCommand]) -> Iterator[Line]:
    for row in commands:
        told = {
            "command": row.id, "attempt": row.attempt, "deadline": row.deadline_at, "published": row.published_at,
            "accepted": row.accepted_at, "result": row.result, "code": row.code, "out": row.out,
        }  # fmt: skip
        yield Line(row.issued_at, Who.CLOUD, "command_issued", evidence=_known(told))


def _of_moves(moves: Sequence[Movement]) -> Iterator[Line]:
    for row in moves:
        told = {"payment": row.payment_id, "reference": row.reference}
        yield Line(row.at, Who.PROVIDER, row.kind, kopecks=row.amount, evidence=_known(told))


def _of_tasks(tasks: Sequence[OutboxRow]) -> Iterator[Line]:
    for row in tasks:
        told = {
            "key": row.key, "payment": row.subject, "due": row.due_at, "attempts": row.attempts,
            "settled": row.settled_at, "verdict": row.verdict, "error": row.last_error,
        }  # fmt: skip
        if row.verdict != WITHDRAWN:
            reason = "" if row.verdict in {"", DONE} else row.verdict
            yield Line(row.created_at, Who.CLOUD, row.task, words=reason, kopecks=row.amount, evidence=_known(told))


def _of_notifications(session: Session, payments: Sequence[Payment]) -> Iterator[Line]:
    ids = [payment.provider_payment_id for payment in payments if payment.provider_payment_id]
    if not ids:
        return
    columns = (StoredNotification.received_at, StoredNotification.provider, StoredNotification.times,
               StoredNotification.verdict, StoredNotification.provider_payment_id)  # fmt: skip
    for row in session.execute(select(*columns).where(StoredNotification.provider_payment_id.in_(ids))):
        told = {"provider": row.provider, "times": row.times, "verdict": row.verdict,
                "payment": row.provider_payment_id}  # fmt: skip
        yield Line(row.received_at, Who.PROVIDER, "told", evidence=_known(told))


def _of_talks(talks: Sequence[Talk]) -> Iterator[Line]:
    for talk in talks:
        for message in talk.messages:
            who = Who.PERSON if message.by else Who.BUYER
            yield Line(message.at, who, "said", message.by, words=message.words)


def _of_machine(session: Session, order: Order, now: datetime) -> Iterator[Line]:
    """Only once money came: before that a machine's faults are nobody's loss."""
    if order.paid_at is None:
        return
    until = (order.finished_at or now) + AFTERWARDS
    around = (MachineEvent.device_uuid == order.device_uuid) & MachineEvent.received_at.between(
        order.created_at - BEFORE, until
    )
    for row in session.scalars(select(MachineEvent).where(around).order_by(MachineEvent.id).limit(MOST_EVENTS)):
        told = (
            {**row.evidence, "told at": row.at}
            if abs(row.at - row.received_at) > timedelta(seconds=5)
            else row.evidence
        )
        if row.what not in {CLOSED_EVENT, OPENED_EVENT}:
            yield Line(row.received_at, Who.AGENT, row.what, reason=row.code, words=row.words, evidence=told)
        elif row.evidence.get("drink") in {None, "", order.drink_no}:
            yield _of_sale(row)


def _of_sale(row: MachineEvent) -> Line:
    """The machine, or its drink, was taken out of sale or back: the deed of a person, or of the breaker."""
    by, drink = str(row.evidence.get("by", "")), row.evidence.get("drink")
    who = Who.CLOUD if by == BREAKER else Who.PERSON
    what, name = f"drink_{row.what}" if drink else row.what, by if who is Who.PERSON else ""
    return Line(row.received_at, who, what, name, words=row.words, evidence=_known(row.evidence))


def _all(session: Session, kind: Any, order_id: str, by: Any) -> list[Any]:
    return list(session.scalars(select(kind).where(kind.order_id == order_id).order_by(by)))


def _known(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in {None, ""}}


def _has(change: OrderChange, name: str) -> bool:
    return isinstance((change.evidence or {}).get(name), str)


def _named(changes: Iterable[OrderChange], name: str) -> str:
    return next((str((row.evidence or {})[name]) for row in changes if _has(row, name)), "")
