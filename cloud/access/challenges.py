"""Questions of logging in, to authenticators and identity providers: hashes, each answered once, by the one asked."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, delete, select
from webauthn.helpers import bytes_to_base64url

from cloud.access.models import LoginChallenge
from cloud.access.tokens import hashed
from cloud.database.transaction import Transaction
from cloud.http.addresses import home_of, network_of

LIVES = timedelta(minutes=3)
VOUCHING_LIVES = timedelta(minutes=10)
"""A person logs in at the identity provider meanwhile."""
OF_ONE_ADDRESS, OF_ALL = 20, 5000
"""Open questions of a purpose to strangers, of one address (of IPv6 a /48) and in all: nobody fills the table."""
OF_ONE_SESSION = 5
"""Open questions of a purpose to one session; strangers' do not count with them."""


class Purpose(StrEnum):
    """What the answer is taken for, and for nothing else."""

    REGISTER = "register"
    ENTER = "enter"
    SECOND_STEP = "second_step"
    CONFIRM = "confirm"
    VOUCH = "vouch"
    """The answer is an identity provider's."""


OF_STRANGERS = frozenset({Purpose.ENTER, Purpose.VOUCH})
"""Asked of a browser of whom nothing is known; the others are asked in a session."""


def ask(tx: Transaction, purpose: Purpose, holder: str, address: str, now: datetime) -> bytes:
    """Ask a new question. `holder`: the session, or browser, whose answer alone will be taken.

    Where there are too many it drives out the oldest of its purpose, and none of another.
    """
    tx.session.execute(delete(LoginChallenge).where(LoginChallenge.expires_at <= now))
    its_own, home = LoginChallenge.purpose == purpose, network_of(address) or home_of(address)
    if purpose in OF_STRANGERS:
        _make_room(tx, OF_ALL, its_own)
        _make_room(tx, OF_ONE_ADDRESS, and_(its_own, LoginChallenge.asked_from == home))
    else:
        _make_room(tx, OF_ONE_SESSION, and_(its_own, LoginChallenge.holder == hashed(holder)))
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


def _make_room(tx: Transaction, most: int, of: ColumnElement[bool]) -> None:
    """Room for one more of a purpose, whose questions all live equally long: the first to expire was asked first."""
    newest_first = select(LoginChallenge.challenge).where(of).order_by(LoginChallenge.expires_at.desc())
    over = tx.session.scalars(newest_first.offset(most - 1)).all()
    if over:
        tx.session.execute(delete(LoginChallenge).where(LoginChallenge.challenge.in_(over)))
