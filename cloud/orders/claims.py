"""What a buyer says is wrong with an order, and what a person answers: a conversation that belongs to its order.

Moves neither order nor money. Everything a stranger could grow is limited; one claim an order is open at a time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, String, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.orders.locked_order import lock_order
from cloud.orders.status_change import add_note

TEXT_LIMIT = 1000
CLAIMS_EACH = 3
"""Of one order, ever."""
MESSAGES_EACH = 20
"""Of the buyer in one claim."""
SAME_PRESS = timedelta(seconds=10)
"""The same words again, so soon, are the same press again: a slow line invites a second one."""


class ClaimKind(StrEnum):
    """What the buyer says happened."""

    NOT_POURED = "not_poured"
    HALF_POURED = "half_poured"
    BAD_DRINK = "bad_drink"
    WRONG_DRINK = "wrong_drink"
    MONEY_NOT_BACK = "money_not_back"
    OTHER = "other"


class ClaimState(StrEnum):
    """Which side is to speak next."""

    OPEN = "open"
    """Support is."""
    ANSWERED = "answered"
    """The buyer may."""
    RESOLVED = "resolved"


UNRESOLVED = "state <> 'resolved'"
_KINDS = ", ".join(f"'{kind.value}'" for kind in ClaimKind)
_STATES = ", ".join(f"'{state.value}'" for state in ClaimState)


class Claim(Base):
    """One trouble of one order."""

    __tablename__ = "claims"
    __table_args__ = (
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        Index(
            "uq_claims_one_open", "order_id", unique=True, postgresql_where=text(UNRESOLVED),
            sqlite_where=text(UNRESOLVED),
        ),
        Index("ix_claims_state", "state", "changed_at", "id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    device_uuid: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), default=ClaimState.OPEN.value)
    language: Mapped[str] = mapped_column(String(8), default="ru")
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class ClaimMessage(Base):
    """One thing said in a claim; never changed."""

    __tablename__ = "claim_messages"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    claim_id: Mapped[int] = mapped_column(ForeignKey("claims.id"), index=True)
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(64), default="")
    """The name of the person who answers; empty where the buyer wrote."""
    words: Mapped[str] = mapped_column(String(TEXT_LIMIT))


class NotClaimable(Exception):
    """This cannot be said (any more); the code names a sentence."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def say(tx: Transaction, order_id: str, kind: ClaimKind | None, words: str, language: str, now: datetime) -> Claim:
    """The buyer speaks: into the order's open claim, or a new one. Raises `UnknownOrder` and `NotClaimable`.

    Only the form that opens a claim names a kind; sent once more without words, or the same words, it adds nothing.
    """
    told = _told(words)
    locked = lock_order(tx, order_id)
    claim = open_claim(tx.session, order_id)
    if claim is None:
        claim = _open(tx, order_id, kind, language, now)
        add_note(locked, "claim_opened", "buyer", now, claim.kind, {"claim": claim.id})
    elif (kind is not None and not told) or _is_just_said(tx.session, claim, told, now):
        return claim
    elif not told:
        raise NotClaimable("words_needed")
    elif _messages_of_buyer(tx.session, claim.id) >= MESSAGES_EACH:
        raise NotClaimable("too_many")
    if told:
        tx.session.add(ClaimMessage(claim_id=claim.id, at=now, by="", words=told))
    claim.state, claim.changed_at = ClaimState.OPEN.value, now
    return claim


def answer(
    tx: Transaction, claim_id: int, by: str, words: str, now: datetime, *, resolves: bool, shown: int | None = None
) -> Claim:
    """A person answers the buyer; `resolves` ends the claim. Raises `LookupError` and `NotClaimable`.

    `shown`: the `said_so_far` of the page the answer comes from; None where no page showed it.
    """
    told = _told(words)
    known = tx.session.get(Claim, claim_id)
    if known is None:
        raise LookupError(f"no claim {claim_id}")
    locked = lock_order(tx, known.order_id)  # first, as everywhere: a buyer may be writing this moment
    claim = tx.session.get_one(Claim, claim_id, with_for_update=True, populate_existing=True)
    if claim.state == ClaimState.RESOLVED:
        raise NotClaimable("resolved")
    if not told and not resolves:
        raise NotClaimable("words_needed")
    _check_shown(tx.session, claim.order_id, shown)
    if told:
        tx.session.add(ClaimMessage(claim_id=claim.id, at=now, by=by[:64], words=told))
    claim.state = (ClaimState.RESOLVED if resolves else ClaimState.ANSWERED).value
    claim.changed_at = now
    add_note(locked, f"claim_{claim.state}", by[:64], now, evidence={"claim": claim.id})
    return claim


def mark_resolved(tx: Transaction, order_id: str, by: str, why: str, now: datetime, shown: int | None = None) -> None:
    """A person has dealt with this order's trouble; its open claim ends with it. Raises `UnknownOrder`, `NotClaimable`.

    The money is not moved by it: what waits for a decision goes on waiting for one. `shown`: as in `answer`.
    """
    locked = lock_order(tx, order_id)
    _check_shown(tx.session, order_id, shown)
    claim = open_claim(tx.session, order_id)
    if claim is not None:
        claim.state, claim.changed_at = ClaimState.RESOLVED.value, now
    add_note(locked, "resolved", by[:64], now, why.strip()[:128])


def said_so_far(talks: Iterable[Sequence[ClaimMessage]]) -> int:
    """How much is said in an order's claims: each is one, also without words, and each message in it."""
    return sum(1 + len(messages) for messages in talks)


def open_claim(session: Session, order_id: str) -> Claim | None:
    """The order's claim that is not resolved."""
    return session.scalar(select(Claim).where(Claim.order_id == order_id, text(UNRESOLVED)))


def claims_of(session: Session, order_id: str) -> list[Claim]:
    """All claims of an order, oldest first."""
    return list(session.scalars(select(Claim).where(Claim.order_id == order_id).order_by(Claim.id)))


def messages_of(session: Session, claim_id: int) -> list[ClaimMessage]:
    """Everything said in a claim, oldest first."""
    return list(
        session.scalars(select(ClaimMessage).where(ClaimMessage.claim_id == claim_id).order_by(ClaimMessage.id))
    )


def _check_shown(session: Session, order_id: str, shown: int | None) -> None:
    so_far = said_so_far(messages_of(session, claim.id) for claim in claims_of(session, order_id))
    if shown is not None and shown != so_far:
        raise NotClaimable("said_meanwhile")


def _open(tx: Transaction, order_id: str, kind: ClaimKind | None, language: str, now: datetime) -> Claim:
    locked = lock_order(tx, order_id)
    if not locked.payments:
        raise NotClaimable("unpaid")
    if kind is None:
        raise NotClaimable("kind_needed")
    if len(claims_of(tx.session, order_id)) >= CLAIMS_EACH:
        raise NotClaimable("too_many")
    order = locked.order
    claim = Claim(
        order_id=order_id, merchant_id=order.merchant_id, device_uuid=order.device_uuid, kind=kind.value,
        state=ClaimState.OPEN.value, language=language[:8], opened_at=now, changed_at=now,
    )  # fmt: skip
    tx.session.add(claim)
    tx.session.flush()
    return claim


def _told(words: str) -> str:
    told = "\n".join(line.rstrip() for line in words.replace("\r\n", "\n").strip().splitlines())
    if len(told) > TEXT_LIMIT:
        raise NotClaimable("too_long")
    return "".join(letter for letter in told if letter.isprintable() or letter == "\n")


def _is_just_said(session: Session, claim: Claim, told: str, now: datetime) -> bool:
    last = messages_of(session, claim.id)[-1:]
    return any(it.by == "" and it.words == told and abs(now - it.at) < SAME_PRESS for it in last)


def _messages_of_buyer(session: Session, claim_id: int) -> int:
    own = (ClaimMessage.claim_id == claim_id) & (ClaimMessage.by == "")
    return int(session.scalar(select(func.count()).where(own)) or 0)
