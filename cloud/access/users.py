"""Users and their roles: inviting, giving a role, disabling. It is checked here too whether the person who asks may."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.access import second_factor, sessions
from cloud.access.acts import GRANTS, Act, Role, may_grant
from cloud.access.models import JournalRow, Membership, User
from cloud.access.person import Person
from cloud.access.tokens import hashed, new_id, new_token
from cloud.database.transaction import Transaction

INVITED_FOR = timedelta(hours=72)


class NotAllowed(Exception):
    """The person who asks may not give, or take, this role; the text names a sentence."""


def by_email(session: Session, email: str) -> User | None:
    return session.scalar(select(User).where(User.email == email.strip().lower()))


def add(tx: Transaction, email: str, name: str, now: datetime, *, is_admin: bool = False,
        asks_second_factor: bool = True) -> User:  # fmt: skip
    """Add a user without roles and without a password. A user who exists is returned, not changed."""
    known = by_email(tx.session, email)
    if known is not None:
        return known
    user = User(
        id=new_id(), email=email.strip().lower(), name=name.strip(), is_admin=is_admin,
        asks_second_factor=asks_second_factor, created_at=now,
    )  # fmt: skip
    tx.session.add(user)
    tx.session.flush()
    return user


def invitee(tx: Transaction, email: str, name: str, by: Person, now: datetime) -> tuple[User, bool]:
    """Return the user `by` may give a role to, and whether he is to be given a link.

    An account that belongs to nobody any more begins anew: what let its holder in before lets in nobody. Raises
    `NotAllowed` for one that others have made, also where it has had no role yet: whoever hands over its first link
    could have kept it.
    """
    known = by_email(tx.session, email)
    if known is None:
        return add(tx, email, name, now), True
    tx.session.refresh(known, with_for_update=True)  # of two that find it nobody's the second finds it the first's
    others = set(tx.session.scalars(select(Membership.merchant_id).where(Membership.user_id == known.id)))
    had_role = bool(others) or _had_role(tx.session, known.id)
    if not others and had_role and not known.is_admin:
        reset(tx, known.id, now, with_second_factor=True)
        known.asks_second_factor = True
    is_own = had_role and all(Act.MANAGE_USERS in _acts(by, merchant) for merchant in others)
    if not by.is_admin and (known.is_admin or not is_own):
        raise NotAllowed("elsewhere")
    return known, not known.password and known.disabled_at is None


def _had_role(session: Session, user_id: str) -> bool:
    """Tell whether a merchant, or the shell for it, ever gave him a role: such an act has a merchant in the journal."""
    of_him = (JournalRow.kind == "user", JournalRow.object_id == user_id)
    return session.scalar(select(JournalRow.id).where(*of_him, JournalRow.merchant_id != "").limit(1)) is not None


def _acts(by: Person, merchant_id: str) -> frozenset[Act]:
    return frozenset[Act]().union(*(GRANTS[role] for role in by.roles(merchant_id)))


def invite(tx: Transaction, user_id: str, now: datetime) -> str:
    """Make the token of a link by which he chooses a password; it is shown only now, and voids an earlier one."""
    user = tx.session.get_one(User, user_id)
    token = new_token()
    user.invitation, user.invited_until = hashed(token), now + INVITED_FOR
    return token


def invited(session: Session, token: str, now: datetime, *, holds: bool = False) -> User | None:
    """Return the user of this link, locked if asked; None for a link that is unknown, used or too old."""
    query = select(User).where(User.invitation == hashed(token))
    user = session.scalar(query.with_for_update() if holds else query)
    fresh = user is not None and user.invited_until is not None and user.invited_until > now
    return user if fresh and user is not None and user.disabled_at is None else None


def take_invitation(tx: Transaction, token: str, password_hash: str, now: datetime) -> User | None:
    """Set his password and end every session he has; None where the link is worth nothing (any more)."""
    user = invited(tx.session, token, now, holds=True)
    if user is None:
        return None
    set_password(tx, user.id, password_hash, now)
    return user


def set_password(tx: Transaction, user_id: str, password_hash: str, now: datetime, *, keep: str = "") -> None:
    """Change the password. Ends all his sessions but `keep`."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    user.password, user.invitation, user.invited_until = password_hash, None, None
    sessions.end(tx, user_id, now, but=keep)


def reset(tx: Transaction, user_id: str, now: datetime, *, with_second_factor: bool) -> str:
    """Log him out everywhere at once; return the token of a link by which he chooses a new password."""
    tx.session.get_one(User, user_id, with_for_update=True).password = ""
    sessions.end(tx, user_id, now)
    if with_second_factor:
        second_factor.take_away(tx, user_id)
    return invite(tx, user_id, now)


def disable(tx: Transaction, user_id: str, now: datetime) -> None:
    """Refuse him from now on; the journal keeps his name."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    user.disabled_at, user.invitation = now, None
    sessions.end(tx, user_id, now)


def enable(tx: Transaction, user_id: str) -> None:
    tx.session.get_one(User, user_id, with_for_update=True).disabled_at = None


def give_role(tx: Transaction, user_id: str, merchant_id: str, role: Role, machines: Iterable[str] | None = None,
              by: Person | None = None) -> Membership:  # fmt: skip
    """Give him his one role at a merchant. Raises `NotAllowed` where `by` has not all of it himself."""
    row = _membership(tx.session, user_id, merchant_id)
    _may_touch(by, user_id, merchant_id, row, role)
    if row is None:
        row = Membership(user_id=user_id, merchant_id=merchant_id, role=role)
        tx.session.add(row)
    row.role, row.machines = str(role), None if machines is None else sorted(set(machines))
    return row


def give_back_role(tx: Transaction, user_id: str, merchant_id: str, role: Role, machines: Iterable[str] | None,
                   by: Person) -> Membership:  # fmt: skip
    """Give a role to a user who had one. Raises `NotAllowed` where another merchant has handled the account since."""
    if _membership(tx.session, user_id, merchant_id) is None:
        tx.session.get_one(User, user_id, with_for_update=True)
        acts = select(func.max(JournalRow.id)).where(JournalRow.kind == "user", JournalRow.object_id == user_id)
        ours = tx.session.scalar(acts.where(JournalRow.merchant_id == merchant_id)) or 0
        theirs = tx.session.scalar(acts.where(JournalRow.merchant_id.not_in(["", merchant_id]))) or 0
        if theirs > ours:
            raise NotAllowed("elsewhere")
    return give_role(tx, user_id, merchant_id, role, machines, by)


def take_role(tx: Transaction, user_id: str, merchant_id: str, by: Person | None = None) -> None:
    """He is nothing to this merchant any more. Raises `NotAllowed`."""
    row = _membership(tx.session, user_id, merchant_id)
    if row is not None:
        _may_touch(by, user_id, merchant_id, row, Role(row.role))
        tx.session.delete(row)


def may_manage(by: Person, session: Session, user_id: str) -> bool:
    """Whether `by` may disable or reset this user: every role he has anywhere is one `by` could have given."""
    user = session.get(User, user_id)
    if user is None or user_id == by.user_id:
        return False
    if by.is_admin:
        return True
    rows = session.scalars(select(Membership).where(Membership.user_id == user_id)).all()
    return not user.is_admin and bool(rows) and all(
        may_grant(by.roles(row.merchant_id), Role(row.role)) for row in rows
    )  # fmt: skip


def grantable(by: Person, merchant_id: str) -> list[Role]:
    """The roles `by` may give at this merchant."""
    return [role for role in GRANTS if by.is_admin or may_grant(by.roles(merchant_id), role)]


def _may_touch(by: Person | None, user_id: str, merchant_id: str, row: Membership | None, wanted: Role) -> None:
    if by is None:
        return  # a shell's user holds the database itself
    if user_id == by.user_id:
        raise NotAllowed("own_role")
    roles = grantable(by, merchant_id)
    if wanted not in roles or (row is not None and Role(row.role) not in roles):
        raise NotAllowed("above_own_role")


def _membership(session: Session, user_id: str, merchant_id: str) -> Membership | None:
    return session.scalar(
        select(Membership).where(Membership.user_id == user_id, Membership.merchant_id == merchant_id)
    )
