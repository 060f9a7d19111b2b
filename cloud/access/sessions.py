"""Sessions: a browser that is logged in. Looked up at every request, so that one that is ended is refused at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from cloud.access import passkeys
from cloud.access.acts import ASKS_SECOND_FACTOR, Role
from cloud.access.models import LoginSession, Membership, SupportAccess, User
from cloud.access.person import Held, Person
from cloud.access.tokens import hashed, new_id, new_token
from cloud.database.transaction import Transaction

LIVES = timedelta(days=14)
IDLE = timedelta(hours=24)
HALF_LIVES = timedelta(minutes=10)
"""So long the second step of logging in may take."""
SEEN_EVERY = timedelta(minutes=1)
"""A session's last use is written no oftener."""
MANY = 20
"""Live sessions of one user; the oldest ends where one more begins."""


@dataclass(frozen=True)
class Seen:
    """A live session and the person behind it."""

    person: Person
    is_complete: bool
    """False until the second step of logging in."""
    is_due: bool
    """Whether its use is to be noted."""


def begin(tx: Transaction, user: User, address: str, agent: str, now: datetime, *, complete: bool) -> str:
    """Open a session; return its cookie's token, shown only now. `complete` where no second step is needed."""
    live = tx.session.scalars(_live_of(user.id).order_by(LoginSession.created_at.desc())).all()
    for old in live[MANY - 1 :]:
        old.ended_at = now
    token = new_token()
    row = LoginSession(
        id=new_id(), user_id=user.id, token=hashed(token), created_at=now, seen_at=now,
        expires_at=now + (LIVES if complete else HALF_LIVES), complete_at=now if complete else None,
        confirmed_at=now if complete else None, knows_passkeys=True if complete else None,
        address=address[:64], agent=agent[:200],
    )  # fmt: skip
    tx.session.add(row)
    return token


def complete(tx: Transaction, session_id: str, now: datetime) -> str:
    """Complete a session after the second step; return its new token: that of the half session is void."""
    row = tx.session.get_one(LoginSession, session_id, with_for_update=True)
    token = new_token()
    row.token, row.complete_at, row.confirmed_at, row.expires_at = hashed(token), now, now, now + LIVES
    row.knows_passkeys = True
    return token


def confirm(tx: Transaction, session_id: str, now: datetime) -> None:
    """The person has shown again who he is."""
    row = tx.session.get_one(LoginSession, session_id)
    row.confirmed_at, row.knows_passkeys = now, True


def find(session: Session, token: str, now: datetime) -> Seen | None:
    """Return this token's session and user; None for one that is unknown, ended, too old, or of a disabled user."""
    if not token:
        return None
    query = select(LoginSession, User).join(User, User.id == LoginSession.user_id)
    found = session.execute(query.where(LoginSession.token == hashed(token))).first()
    if found is None:
        return None
    row, user = found
    is_over = row.ended_at is not None or row.expires_at <= now or now - row.seen_at > IDLE
    if is_over or user.disabled_at is not None:
        return None
    person = _person(session, row, user, now)
    return Seen(person, _is_complete(row, user, person), now - row.seen_at >= SEEN_EVERY)


def _is_complete(row: LoginSession, user: User, person: Person) -> bool:
    """Whether every step that this user has was taken: a program from before passkeys asks for none."""
    was_asked_all = row.knows_passkeys or bool(user.totp) or not person.has_passkey
    return row.complete_at is not None and was_asked_all


def again(session: Session, session_id: str, now: datetime) -> Person | None:
    """The person of a session as he is this moment, inside a transaction that does something for him."""
    row = session.get(LoginSession, session_id)
    if row is None or row.ended_at is not None or row.expires_at <= now:
        return None
    user = session.get_one(User, row.user_id)
    return None if user.disabled_at is not None else _person(session, row, user, now)


def elsewhere(session: Session, user_id: str, now: datetime) -> Person | None:
    """Return a user who acts without a session of the console: from a messenger that is linked to him."""
    user = session.get(User, user_id)
    return None if user is None or user.disabled_at is not None else _person(session, None, user, now)


def touch(tx: Transaction, session_id: str, now: datetime) -> None:
    """Note that it was used."""
    tx.session.execute(update(LoginSession).where(LoginSession.id == session_id).values(seen_at=now))


def live_of(session: Session, user_id: str, now: datetime) -> list[LoginSession]:
    """His open sessions, the latest used first."""
    query = _live_of(user_id).where(LoginSession.expires_at > now, LoginSession.seen_at > now - IDLE)
    return list(session.scalars(query.order_by(LoginSession.seen_at.desc())))


def end(tx: Transaction, user_id: str, now: datetime, session_id: str = "", *, but: str = "") -> int:
    """End one session of a user, or all of them (`but` the one that asks); return how many."""
    query = _live_of(user_id).where(LoginSession.id != but)
    rows = tx.session.scalars(query.where(LoginSession.id == session_id) if session_id else query).all()
    for row in rows:
        row.ended_at = now
    return len(rows)


def end_all(tx: Transaction, now: datetime) -> None:
    """End every session of everybody."""
    tx.session.execute(update(LoginSession).where(LoginSession.ended_at.is_(None)).values(ended_at=now))


def _live_of(user_id: str) -> Select[LoginSession]:
    return select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None))


def _person(session: Session, row: LoginSession | None, user: User, now: datetime) -> Person:
    members = session.scalars(select(Membership).where(Membership.user_id == user.id)).all()
    held = tuple(
        Held(one.merchant_id, Role(one.role), None if one.machines is None else frozenset(one.machines))
        for one in members
    )
    asks = user.is_admin or any(one.role in ASKS_SECOND_FACTOR for one in held)
    has_passkey = passkeys.has_any(session, user.id)
    has_second = bool(user.totp) or has_passkey
    return Person(
        user.id, user.email, user.name, row.id if row else "", user.is_admin, held,
        _supported(session, user, now), row.confirmed_at if row else None, has_second,
        asks and user.asks_second_factor and not has_second, has_passkey, user.language, user.theme,
        row.address if row else "",
    )  # fmt: skip


def _supported(session: Session, user: User, now: datetime) -> frozenset[str]:
    if not user.is_admin:
        return frozenset()
    query = select(SupportAccess.merchant_id).where(
        SupportAccess.user_id == user.id, SupportAccess.ended_at.is_(None), SupportAccess.until > now
    )
    return frozenset(session.scalars(query))
