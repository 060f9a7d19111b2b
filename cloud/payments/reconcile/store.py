"""Keeps what a look found: new findings opened, those it no longer sees closed, the day due again while it must be.

A person's word on a finding stands; nothing is deleted.
"""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, not_, or_, select
from sqlalchemy.orm import Session

from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import Finding, Kind
from cloud.payments.reconcile.ledger_view import ShopKey
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State
from cloud.payments.reconcile.shop import Look

MENDING_ROUNDS = 3
"""What is still there after being asked about so often is not going to mend by asking."""
LOOK_AGAIN = timedelta(minutes=15)
"""After something was asked about again: time enough for the answer."""
TRY_AGAIN = timedelta(hours=1)
"""After a look that did not come to its end."""
RETURN_AGAIN = timedelta(hours=6)
"""After a look that saw a return under way: of one made in the cabinet nobody else may ever hear the end."""
RETURNS_FOLLOWED = timedelta(days=30)
"""Since the day was due; a return that has no end by then is with the person who was told of it."""
LOOKED_FOR_AGAIN = timedelta(days=2)
"""Since the day was due: as long it is looked at again, as often as for a return, for what could not be looked for."""
ITSELF = "reconciliation"

OF_ANY_DAY = frozenset({Kind.STUCK, Kind.HOLD_OPEN, Kind.RETURN_OPEN, Kind.NOBODY_TO_ASK})
"""Seen by every look at their shop, whatever its day."""
OF_OUR_BOOKS = frozenset({Kind.POURED_NOT_PAID, Kind.GOODWILL, Kind.SHOP_GONE, Kind.NO_ANSWER})
"""Seen by every look at their day, whatever the provider answers."""
_ORDER = {State.OPEN.value: 0, State.MENDING.value: 1, State.EXPLAINED.value: 2, State.CLOSED.value: 3}


class AlreadyClosed(Exception):
    """Somebody has settled it before, or reconciliation no longer saw it."""


def keep(
    tx: Transaction, key: ShopKey, day: Day, look: Look, now: datetime
) -> tuple[Reconciliation, Sequence[FoundDifference]]:
    """Keep one look; the day's row and its findings, the unexplained first."""
    row = _locked_row(tx.session, key, day, now)
    row.rounds = row.rounds + 1 if look.mends else 0
    in_order = sorted(look.found.values(), key=lambda finding: finding.fingerprint)  # as every look locks them
    seen = [_keep_one(tx.session, key, day, finding, row.rounds, now) for finding in in_order]
    _close_the_rest(tx.session, key, day, look, now)
    row.ran_at, row.complete, row.problem = now, look.complete, look.problem
    row.payments_there, row.refunds_there = look.payments_there, look.refunds_there
    row.taken_there, row.returned_there = look.taken_there, look.returned_there
    row.payments_here, row.taken_here, row.returned_here = look.here.payments, look.here.taken, look.here.returned
    if not key.scenario:
        row.machines, row.compared = look.comparison.machines, look.comparison.compared
    row.next_at = _next(row, day, look, now)
    return row, sorted(seen, key=lambda found: (_ORDER[found.state], found.kind, found.fingerprint))


def row_of(session: Session, key: ShopKey, day: Day) -> Reconciliation | None:
    """The row of a shop and day, locked."""
    of = (Reconciliation.merchant_id == key.merchant_id, Reconciliation.scenario == key.scenario)
    found = select(Reconciliation).where(
        *of, Reconciliation.account_id == key.account_id, Reconciliation.day == day.date
    )  # fmt: skip
    return session.scalar(found.with_for_update())


def new_row(key: ShopKey, day: Day, next_at: datetime | None) -> dict[str, object]:
    """The values of a day nobody has looked at."""
    return {
        "day": day.date, "merchant_id": key.merchant_id, "scenario": key.scenario, "account_id": key.account_id,
        "next_at": next_at, "rounds": 0, "complete": False, "problem": "", "payments_there": 0, "payments_here": 0,
        "refunds_there": 0, "taken_there": 0, "taken_here": 0, "returned_there": 0, "returned_here": 0,
    }  # fmt: skip


def settle_by_hand(tx: Transaction, finding_id: int, by: str, note: str, now: datetime) -> bool:
    """A person has looked: it is no longer open, and will not open again. False when there is no such finding.

    Raises `AlreadyClosed`.
    """
    found = tx.session.get(FoundDifference, finding_id, with_for_update=True)
    if found is None:
        return False
    if found.state == State.CLOSED:
        raise AlreadyClosed
    found.state, found.closed_at = State.CLOSED.value, now
    found.closed_by, found.closed_note = by[:255], note[:500]
    return True


def standing(session: Session, finding_id: int) -> dict[str, str]:
    """How a finding stands, and the person who settled it; its row held. `{}` when there is none."""
    found = session.get(FoundDifference, finding_id, with_for_update=True, populate_existing=True)
    return {} if found is None else {name: getattr(found, name) for name in ("state", "closed_by", "closed_note")}


def put_back(tx: Transaction, finding_id: int, stood: Mapping[str, str], now: datetime) -> None:
    """It was settled, or opened again, by mistake: it stands again as it did (`standing`)."""
    found = tx.session.get_one(FoundDifference, finding_id, with_for_update=True)
    found.state, found.closed_at = stood["state"], now if stood["state"] == State.CLOSED else None
    found.closed_by, found.closed_note = stood["closed_by"], stood["closed_note"]


def _locked_row(session: Session, key: ShopKey, day: Day, now: datetime) -> Reconciliation:
    insert_if_new(session.connection(), Reconciliation, new_row(key, day, max(now, day.due_at)))
    row = row_of(session, key, day)
    if row is None:
        raise LookupError(f"the row of {day.date} vanished")
    return row


def _keep_one(
    session: Session, key: ShopKey, day: Day, finding: Finding, rounds: int, now: datetime
) -> FoundDifference:
    insert_if_new(
        session.connection(), FoundDifference,
        {
            "merchant_id": key.merchant_id, "scenario": key.scenario, "account_id": key.account_id,
            "fingerprint": finding.fingerprint, "day": day.date, "kind": finding.kind.value, "order_id": "",
            "payment_id": "", "provider_id": "", "device_uuid": "", "detail": "", "state": State.OPEN.value,
            "first_seen_at": now, "last_seen_at": now, "closed_by": "", "closed_note": "",
        },
    )  # fmt: skip
    found = session.scalars(
        select(FoundDifference).where(_of(key), FoundDifference.fingerprint == finding.fingerprint)
    ).one()
    found.order_id, found.payment_id = finding.order_id, finding.payment_id
    found.provider_id, found.device_uuid = finding.provider_id[:64], finding.device_uuid
    found.here, found.there, found.detail = finding.here, finding.there, finding.detail[:500]
    found.last_seen_at = now
    if found.state != State.CLOSED or found.closed_by == ITSELF:
        if found.state == State.CLOSED or finding.kind not in OF_ANY_DAY:
            found.day = day.date  # whose next look sees whether it is gone
        found.state = _state(finding, rounds).value
        found.closed_at, found.closed_by = None, ""
    return found


def _state(finding: Finding, rounds: int) -> State:
    if finding.explained:
        return State.EXPLAINED
    return State.MENDING if finding.mends and rounds <= MENDING_ROUNDS else State.OPEN


def _close_the_rest(session: Session, key: ShopKey, day: Day, look: Look, now: datetime) -> None:
    """What this look would have seen and did not, is gone. Where the provider did not tell all, only what we see."""
    if Kind.TOO_MANY in look.found:
        return
    of_the_day = FoundDifference.day == day.date
    if not (look.asked and look.complete):
        of_the_day = and_(of_the_day, _is_among(OF_OUR_BOOKS))
    in_sight = or_(_is_among(OF_ANY_DAY), of_the_day)
    unseen = and_(FoundDifference.fingerprint.not_in(list(look.found)), not_(_is_among(look.not_looked_for)))
    wanted = and_(_of(key), in_sight, unseen, FoundDifference.state != State.CLOSED.value)
    for found in session.scalars(select(FoundDifference).where(wanted)):
        found.state, found.closed_at, found.closed_by = State.CLOSED.value, now, ITSELF


def _is_among(kinds: Set[Kind]) -> ColumnElement[bool]:
    return FoundDifference.kind.in_([kind.value for kind in kinds])


def _of(key: ShopKey) -> ColumnElement[bool]:
    return and_(
        FoundDifference.merchant_id == key.merchant_id,
        FoundDifference.scenario == key.scenario,
        FoundDifference.account_id == key.account_id,
    )


def _next(row: Reconciliation, day: Day, look: Look, now: datetime) -> datetime | None:
    if now < day.due_at:
        return day.due_at
    if not row.complete:
        return now + TRY_AGAIN
    if look.mends and row.rounds <= MENDING_ROUNDS:
        return now + LOOK_AGAIN
    follows_return = look.has_open_return and now < day.due_at + RETURNS_FOLLOWED
    looks_again = look.not_looked_for and now < day.due_at + LOOKED_FOR_AGAIN
    return now + RETURN_AGAIN if follows_return or looks_again else None
