"""Questions of logging in, to authenticators and identity providers: hashes, each answered once, by the one asked."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select
from webauthn.helpers import bytes_to_base64url

from cloud.access.models import LoginChallenge
from cloud.access.tokens import hashed
from cloud.database.transaction import Transaction
from cloud.http.addresses import home_of

LIVES = timedelta(minutes=3)
VOUCHING_LIVES = timedelta(minutes=10)
"""A person logs in at the identity provider meanwhile."""
OF_ONE_ADDRESS, OF_ALL = 20, 5000
"""Open questions of one address (of IPv6 a /64), and of all; one more drives out the oldest: nobody fills the table."""


class Purpose(StrEnum):
    """What the answer is taken for, and for nothing else."""

    REGISTER = "register"
    ENTER = "enter"
    SECOND_STEP = "second_step"
    CONFIRM = "confirm"
    VOUCH = "vouch"
    """The answer is an identity provider's."""


def ask(tx: Transaction, purpose: Purpose, holder: str, address: str, now: datetime) -> bytes:
    """Ask a new question. `holder`: the session, or browser, whose answer alone will be taken."""
    tx.session.execute(delete(LoginChallenge).where(LoginChallenge.expires_at <= now))
    _make_room(tx, OF_ALL)
    home = home_of(address)
    _make_room(tx, OF_ONE_ADDRESS, home)
    challenge = secrets.token_bytes(32)
    row = LoginChallenge(
        challenge=hashed(bytes_to_base64url(challenge)), purpose=purpose, holder=hashed(holder),
        asked_from=home, expires_at=now + (VOUCHING_LIVES if purpose is Purpose.VOUCH else LIVES),
    )  # fmt: skip
    tx.session.add(row)
    return challenge


def take(tx: Transaction, challenge: str, purpose: Purpose, holder: str, now: datetime) -> bool:
    """Use a question up; tell whether it was open, and asked of this holder for this purpose."""
    row = tx.session.scalar(
        select(LoginChallenge).where(LoginChallenge.challenge == hashed(challenge)).with_for_update()
    )
    if row is None or (row.purpose, row.holder) != (purpose, hashed(holder)):
        return False
    tx.session.delete(row)
    return row.expires_at > now


def _make_room(tx: Transaction, most: int, home: str | None = None) -> None:
    query = select(LoginChallenge.challenge).order_by(LoginChallenge.expires_at.desc())
    if home is not None:
        query = query.where(LoginChallenge.asked_from == home)
    over = tx.session.scalars(query.offset(most - 1)).all()
    if over:
        tx.session.execute(delete(LoginChallenge).where(LoginChallenge.challenge.in_(over)))
