"""Use cases of a make command: issue it, record what became of it, give up on it, in the caller's transaction.

One live command per order; its id derives from order and attempt, so sending it again is the same drink.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from cloud.database.due import is_due
from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.orders import carriers, order_tasks, restores, trusted_outcome
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.machine_words import MOST_WORDS, is_always_written
from cloud.orders.models import MakeCommand, Order
from cloud.orders.order_limits import OrderLimits, seconds
from cloud.orders.outbox import SET_BACK
from cloud.orders.owed_tasks import is_paid_for, money_is_gone, settle_as_poured, settle_money
from cloud.orders.self_closing import close_what_fails
from cloud.orders.states import ACCEPTED, DONE, EXPIRED, ON_ITS_WAY, SENT, TOLD_LATE, Event, Status
from cloud.orders.status_change import add_note, apply_event, lines_of, log, mark_changed
from cloud.orders.tasks import Lane, Task
from protocol.messages import Accepted, Asked, Outcome, Progress
from protocol.reasons import AgentCode, DoubtCode, Phase, Result, Spout

DAY = timedelta(days=1)
CLOSED = "closed"
"""Reason of an order whose machine was closed between the start of its payment and the money."""
RETURNED = "returned"
"""Reason of an order whose money went back past us before its drink was begun."""
SENDINGS = frozenset({Task.MAKE, Task.CANCEL_MAKE})
"""Tasks that send a command, or take it back: again and again until the machine's word, or the deadline."""
INFERRED = frozenset(AgentCode)
"""Codes by which the agent says that nothing was poured; the machine's own word is told with its phase."""


class NotPourable(Exception):
    """The order does not wait to be poured by hand (any more)."""


def derived_command_id(order_id: str, attempt: int) -> str:
    """The id of an order's command: the same for the same attempt."""
    return "mk-" + hashlib.sha256(f"{attempt}\n{order_id}".encode()).hexdigest()[:32]


def issue_command(locked: LockedOrder, rules: OrderLimits, now: datetime) -> MakeCommand:
    """Issue the next make command of a paid order and add the task that sends it."""
    order, attempt = locked.order, 1 + len(locked.commands)
    issued = fresh(
        MakeCommand, id=derived_command_id(order.id, attempt), order_id=order.id, device_uuid=order.device_uuid,
        attempt=attempt, issued_at=now, deadline_at=now + seconds(rules.make_deadline_s), live=True,
    )  # fmt: skip
    locked.add(issued)
    order.due_at = issued.deadline_at
    order_tasks.add_task(locked, Task.MAKE, f"make-{issued.id}", issued.id, now, lane=carriers.lane_of(locked))
    return issued


def pour_what_is_paid(locked: LockedOrder, rules: OrderLimits, now: datetime) -> None:
    """Issue the command of an order paid in time, unless its machine was closed while the buyer paid."""
    if not locked.is_closed:
        issue_command(locked, rules, now)
    elif apply_event(locked, Event.COMMAND_NOT_SENT, "merchant", now, CLOSED):
        _fail_order(locked, rules, now, uncertain=False)


def parameters(issued: MakeCommand, order: Order) -> dict[str, object]:
    """Everything a command asks for, for the log."""
    return {
        "order_id": order.id, "device": issued.device_uuid, "command": issued.id, "attempt": issued.attempt,
        "drink_no": order.drink_no, "size": order.size, "price": order.price,
        "issued_at": issued.issued_at.isoformat(), "deadline_at": issued.deadline_at.isoformat(),
    }  # fmt: skip


def pour_now(tx: Transaction, order_id: str, actor: str, rules: OrderLimits, now: datetime) -> None:
    """Pour a late-paid order: the buyer stands at the machine, or the operator does. Raises `NotPourable`."""
    locked = lock_order(tx, order_id)
    if locked.order.status != Status.MANUAL_MAKE:
        raise NotPourable(locked.order.status)
    if not is_paid_for(locked):
        raise NotPourable("its money has gone back")
    apply_event(locked, Event.MAKE_REQUESTED, actor, now)
    issue_command(locked, rules, now)


def record_published(locked: LockedOrder, issued: MakeCommand, rules: OrderLimits, now: datetime) -> None:
    """Record that the broker has the command; that says nothing about the machine."""
    if issued.published_at is not None or not issued.live:
        return
    issued.published_at = now
    if apply_event(locked, Event.COMMAND_PUBLISHED, "courier", now):
        locked.order.stage = SENT
        locked.order.due_at = issued.issued_at + seconds(rules.ack_timeout_s)


def record_not_sent(
    tx: Transaction, order_id: str, command_id: str, why: str, rules: OrderLimits, now: datetime, *, certain: bool
) -> None:
    """Record that the command could not be handed over in time. `certain`: no byte of it left us."""
    locked = lock_order(tx, order_id)
    _fail_unsent(locked, locked.command(command_id), why, rules, now, certain=certain)


def record_acceptance(tx: Transaction, device_uuid: str, said: Accepted, rules: OrderLimits, now: datetime) -> None:
    """Record that the machine has taken the command."""
    known = _of_device(tx, device_uuid, said)
    if known is None:
        return
    _mark_taken(*known, rules, now)


def record_progress(tx: Transaction, device_uuid: str, said: Progress, rules: OrderLimits, now: datetime) -> None:
    """Record what the machine does to the cup, and by it that the machine has the command."""
    known = _of_device(tx, device_uuid, said)
    if known is None:
        return
    locked, issued = known
    order = locked.order
    _mark_taken(locked, issued, rules, now)  # its acceptance may have been lost
    if issued.live and order.status == Status.MAKE_PENDING:
        order.stage, order.progress = said.stage.value, max(order.progress, said.pct)
        mark_changed(locked)


def _mark_taken(locked: LockedOrder, issued: MakeCommand, rules: OrderLimits, now: datetime) -> None:
    """Keep for ever that the machine has this command, by its own word."""
    if issued.accepted_at is not None:
        return
    issued.accepted_at = now
    order_tasks.finish_tasks(locked, {Task.MAKE}, issued.id, now)
    if issued.live and apply_event(locked, Event.MACHINE_ACCEPTED, "device", now):
        locked.order.stage = ACCEPTED
        locked.order.due_at = now + seconds(rules.make_timeout_s)


def record_outcome(tx: Transaction, device_uuid: str, said: Outcome, rules: OrderLimits, now: datetime) -> bool:
    """Record what physically happened. A higher revision corrects an earlier one; the same again changes nothing.

    An outcome of an unknown command is kept: a database put back to an earlier state may find the order again.
    False where the history had no room for it: only its command holds it, and nothing follows.
    """
    known = _of_device(tx, device_uuid, said)
    if known is None:
        restores.keep_unclaimed(tx, device_uuid, said, now)
        return True
    locked, issued = known
    if issued.result == Result.DONE or not _is_news(issued, said):
        return True
    issued.live, issued.finished_at, issued.revision = False, now, said.revision
    issued.result, issued.code, issued.out = said.result.value, said.code, said.out.value
    issued.evidence = msgspec.to_builtins(said.evidence)
    order_tasks.finish_tasks(locked, SENDINGS, issued.id, now)
    event, reason = _meaning_to(locked, issued, said)
    ends_restore = _awaits_word_since_restore(locked.order)
    if not ends_restore and _is_one_too_many(locked, event, said):
        return False
    if trusted_outcome.is_to_be_trusted(tx, device_uuid, said) and trusted_outcome.trust(locked, now):
        return True
    locked.order.restored_at = None
    was_given_up = locked.order.status == Status.MAKE_FAILED
    if not apply_event(locked, event, "device", now, reason, issued.evidence) and not ends_restore:
        return True
    if event is Event.MACHINE_DONE:
        _finish_poured(locked, TOLD_LATE if was_given_up else DONE, now)
    else:
        _fail_order(locked, rules, now, uncertain=event is Event.MACHINE_UNSURE)
    return True


def _is_one_too_many(locked: LockedOrder, event: Event, said: Outcome) -> bool:
    """The history has no room for it, and need not have. An outcome that is waited for costs no look."""
    order = locked.order
    if is_always_written(Status(order.status), event, said.revision, uncertain=order.uncertain):
        return False
    if lines_of(locked, "device", MOST_WORDS) < MOST_WORDS:
        return False
    facts = {"order_id": order.id, "device": order.device_uuid, "revision": said.revision}
    locked.tx.log_after_commit(log.warning, "more words of a machine than its order's history takes in", extra=facts)
    return True


def _awaits_word_since_restore(order: Order) -> bool:
    """Since a restore the machine's word is waited for, and nothing else."""
    return order.restored_at is not None and order.uncertain and order.status == Status.MAKE_FAILED


def _meaning_to(locked: LockedOrder, issued: MakeCommand, said: Outcome) -> tuple[Event, str]:
    """What the outcome means to this order as it stands, and the reason it gives."""
    event, reason = _meaning(said)
    if _is_denied(issued, said):
        facts = {"order_id": issued.order_id, "device": issued.device_uuid}
        locked.tx.log_after_commit(log.error, "the machine had taken it, and now it is denied: %s", reason, extra=facts)
        return Event.MACHINE_UNSURE, "unknown"
    if event is not Event.MACHINE_REFUSED:
        return event, reason
    if trusted_outcome.ended_by_trust(locked):
        return Event.TRUST_REFUTED, reason
    if said.result is Result.REJECTED and locked.order.status in ON_ITS_WAY and money_is_gone(locked):
        return event, RETURNED
    return event, reason


def _is_denied(issued: MakeCommand, said: Outcome) -> bool:
    """The agent infers that nothing was poured, and the machine had taken it: one of the two has lost its memory.

    What the machine itself says, a refusal, a failure or a cancelling, is its own word and no denial.
    """
    is_cancelled_by_it = said.code == AgentCode.CANCELLED and said.evidence.phase is Phase.CANCELLED
    inferred = said.result in {Result.REJECTED, Result.FAILED} and said.code in INFERRED
    return inferred and not is_cancelled_by_it and issued.accepted_at is not None


def _is_news(issued: MakeCommand, said: Outcome) -> bool:
    """A later word; or one as late, that knows what ours does not: an older copy of a journal counts from there."""
    knows_more = issued.result == Result.UNKNOWN and said.result is not Result.UNKNOWN
    return said.revision > issued.revision or (said.revision == issued.revision and knows_more)


def seconds_left(issued: MakeCommand, now: datetime) -> float:
    """Until the deadline; none when the clock was set back since: how old the command is nobody knows any more."""
    is_unborn = issued.issued_at > now + SET_BACK
    return 0.0 if is_unborn else max(0.0, (issued.deadline_at - now).total_seconds())


def is_undelivered(issued: MakeCommand, now: datetime) -> bool:
    """The drink can still be begun, and its machine has said nothing: sent again, for a question would refuse it."""
    return issued.live and issued.accepted_at is None and seconds_left(issued, now) > 0


def send_again(tx: Transaction, order_id: str, command_id: str, now: datetime) -> None:
    """Send the command at once: its machine has just connected, and a broker may have lost what was sent."""
    locked = lock_order(tx, order_id)
    if is_undelivered(locked.command(command_id), now):
        order_tasks.hasten_tasks(locked, SENDINGS, command_id, now)


def asked_about(issued: MakeCommand) -> Asked:
    """The command in a question, with when it could come: an agent knows by it what its silence means."""
    return Asked(
        command_id=issued.id, order_id=issued.order_id, issued_at=issued.issued_at, deadline_at=issued.deadline_at
    )


def handle_deadline(tx: Transaction, order_id: str, rules: OrderLimits, now: datetime) -> None:
    """End the wait of an order whose deadline has passed: what it waited for did not come."""
    locked = lock_order(tx, order_id)
    order, issued = locked.order, locked.live_command
    if order.due_at is None or not is_due(order.due_at, now, rules.longest_wait):
        return
    match Status(order.status):
        case Status.CREATED:
            apply_event(locked, Event.ORDER_EXPIRED, "clock", now, EXPIRED)
        case Status.MANUAL_MAKE:
            apply_event(locked, Event.MANUAL_MAKE_EXPIRED, "clock", now, EXPIRED)
            _fail_order(locked, rules, now, uncertain=False)
        case Status.PAID if issued is not None:
            withdrawn = order_tasks.withdraw_tasks(locked, {Task.MAKE}, now, issued.id)
            _fail_unsent(locked, issued, "not handed over before its deadline", rules, now, certain=withdrawn)
        case Status.MAKE_PENDING:
            if issued is None:  # a bug of ours: whatever became of it, the buyer must not wait for ever
                facts = {"order_id": order.id, "device": order.device_uuid}
                tx.log_after_commit(log.error, "it waits for a command that is over", extra=facts)
            _give_up_waiting(locked, issued or locked.commands[-1], rules, now)
        case _:
            order.due_at = None


def end_grace(tx: Transaction, order_id: str, rules: OrderLimits, now: datetime) -> None:
    """Return the money now that the grace time brought no evidence, unless this machine needs that too often."""
    locked = lock_order(tx, order_id)
    order = locked.order
    if order.return_after is None or not is_due(order.return_after, now, rules.uncertain_grace):
        return
    order.return_after = None
    if is_paid_for(locked) and _uncertain_returns(tx.session, order, now) >= rules.uncertain_returns_a_day:
        order.waits_for_person = True
        add_note(locked, "return_waits_for_person", "clock", now)
        facts = {"order_id": order.id, "device": order.device_uuid}
        tx.log_after_commit(log.error, "a return waits for a person: too many of this machine's today", extra=facts)
    settle_money(locked, now)


def settle_closing_hold(tx: Transaction, order_id: str, now: datetime) -> None:
    """Return a hold that the provider will not keep much longer, when no person has decided."""
    locked = lock_order(tx, order_id)
    if locked.order.waits_for_person:
        locked.order.waits_for_person = False
        add_note(locked, "hold_closes", "clock", now)
        settle_money(locked, now)


def _fail_unsent(
    locked: LockedOrder, issued: MakeCommand, why: str, rules: OrderLimits, now: datetime, *, certain: bool
) -> None:
    """Fail the order whose command was not sent, unless the machine has it after all."""
    if not issued.live or issued.published_at is not None or issued.accepted_at is not None:
        return  # the machine has it, whatever became of the broker's answer
    issued.live, issued.finished_at, issued.code = False, now, "not_sent"
    locked.tx.log_after_commit(log.error, "make command not sent: %s", why, extra=parameters(issued, locked.order))
    certain = certain and not _was_paid_before_restore(locked)
    if apply_event(locked, Event.COMMAND_NOT_SENT, "courier", now, "not_sent", {"why": why}):
        if not certain:
            _ask(locked, issued, now)
        _fail_order(locked, rules, now, uncertain=not certain)


def _was_paid_before_restore(locked: LockedOrder) -> bool:
    """Since a restore, this same command may be one that was carried out in the time that is forgotten."""
    restored_at = locked.order.restored_at
    paid = (payment for payment in locked.payments if payment.paid_at is not None)
    return restored_at is not None and any(payment.started_at < restored_at for payment in paid)


def _give_up_waiting(locked: LockedOrder, issued: MakeCommand, rules: OrderLimits, now: datetime) -> None:
    """Fail the order of a command that the machine no longer answers."""
    event = Event.NO_OUTCOME if issued.accepted_at is not None else Event.NO_ACK
    issued.live, issued.finished_at = False, now
    order_tasks.finish_tasks(locked, SENDINGS, issued.id, now)
    apply_event(locked, event, "clock", now, event.value)
    _ask(locked, issued, now)
    _fail_order(locked, rules, now, uncertain=True)


def _ask(locked: LockedOrder, issued: MakeCommand, now: datetime) -> None:
    """Ask the agent what became of the command; a command that no agent was given is not asked about."""
    if carriers.lane_of_command(locked, issued) is not Lane.MQTT:
        return
    order_tasks.add_task(locked, Task.QUERY, f"query-{issued.id}", issued.id, now)


def _meaning(said: Outcome) -> tuple[Event, str]:
    match said.result:
        case Result.DONE:
            return Event.MACHINE_DONE, ""
        case Result.REJECTED if said.code == AgentCode.EXPIRED:
            return Event.MACHINE_REFUSED, EXPIRED
        case Result.REJECTED:
            return Event.MACHINE_REFUSED, f"rejected:{said.code}"
        case Result.FAILED if said.out is Spout.FULL:  # a failure, and yet a full cup: evidence is waited for
            return Event.MACHINE_UNSURE, f"failed:{said.code}"
        case Result.FAILED:
            return Event.MACHINE_REFUSED, f"failed:{said.code}"
        case Result.UNKNOWN if said.code == DoubtCode.UNOBSERVABLE:
            return Event.MACHINE_UNSURE, trusted_outcome.REASON
        case Result.UNKNOWN:
            return Event.MACHINE_UNSURE, "unknown"


def _finish_poured(locked: LockedOrder, stage: str, now: datetime) -> None:
    """Settle the money of a poured order."""
    order = locked.order
    settle_as_poured(locked, stage, now)
    if order.goodwill:
        locked.tx.log_after_commit(log.warning, "poured after its return had begun", extra={"order_id": order.id})


def _fail_order(locked: LockedOrder, rules: OrderLimits, now: datetime, *, uncertain: bool) -> None:
    """Settle the money of an order without a drink; an uncertain one waits for evidence first."""
    order = locked.order
    is_forgotten = uncertain and order.restored_at is not None and is_paid_for(locked)
    order.uncertain, order.waits_for_person = uncertain, is_forgotten
    order.return_after = now + seconds(rules.uncertain_grace_s) if uncertain and not is_forgotten else None
    order.stage = ""
    settle_money(locked, now)
    close_what_fails(locked, now)


def _uncertain_returns(session: Session, order: Order, now: datetime) -> int:
    """Orders of this machine whose money went back within a day though they may have been poured, or were."""
    perhaps_poured = or_(and_(Order.status == Status.MAKE_FAILED.value, Order.uncertain), Order.goodwill)
    returned = and_(perhaps_poured, Order.return_after.is_(None), Order.waits_for_person.is_(False))
    of_the_day = and_(Order.device_uuid == order.device_uuid, Order.finished_at > now - DAY, Order.id != order.id)
    return int(session.scalar(select(func.count()).where(of_the_day, returned)) or 0)


def _of_device(
    tx: Transaction, device_uuid: str, said: Accepted | Progress | Outcome
) -> tuple[LockedOrder, MakeCommand] | None:
    """The command, if it was given to this device: a device can only speak for itself (promise 5)."""
    try:
        locked = lock_order(tx, said.order_id)
        issued = locked.command(said.command_id)
    except LookupError:
        issued = None
    if issued is None or issued.device_uuid != device_uuid:
        facts = {"device": device_uuid, "command": said.command_id}
        tx.log_after_commit(log.warning, "report of a command that is not this device's", extra=facts)
        return None
    return locked, issued
