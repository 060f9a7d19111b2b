"""Logging in by a passkey: alone, as the second step, and to show again who one is. Throttled as codes are."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cloud.access import authenticator, challenges, passkeys, sessions, throttle
from cloud.access.authenticator import Answer, Made, NotValid
from cloud.access.challenges import Purpose
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.login import Entered, Refused, count, not_too_often
from cloud.access.models import Passkey, User
from cloud.access.passkeys import Copied
from cloud.access.person import Person
from cloud.access.relying_party import RelyingParty
from cloud.database.database import Database
from cloud.database.transaction import Transaction

log = logging.getLogger("cloud.access.passkeys")
WRONG = "wrong_key"


class PasskeyLogin:
    """Asks authenticators, and believes what they prove."""

    def __init__(self, database: Database, rp: RelyingParty, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._rp = rp
        self._clock = clock

    def ask(self, purpose: Purpose, holder: str, address: str, person: Person | None = None) -> dict[str, Any]:
        """What the browser is to ask an authenticator. `person`: whose keys are meant. Raises `Refused`."""
        self._not_too_often(_keys_of(purpose, person, address))
        challenge = self._database.transact(challenges.ask, purpose, holder, address, self._clock())
        if person is None:
            return authenticator.to_show(self._rp, challenge)
        with self._database.read() as session:
            known = passkeys.known_of(session, person.user_id)
        if purpose is Purpose.REGISTER:
            return authenticator.to_make(self._rp, challenge, person.user_id, person.email, person.name, known)
        return authenticator.to_show(self._rp, challenge, known)

    def made(self, text: str, person: Person) -> Made:
        """The key that was made for this person at this session. Raises `Refused`."""
        try:
            return authenticator.made(self._asked(text, Purpose.REGISTER, person.session_id), self._rp)
        except NotValid as error:
            raise self._refused(error) from None

    def enter(self, text: str, holder: str, address: str, agent: str) -> Entered:
        """Both steps at once: he has the key, and it knows him. Raises `Refused`."""

        def work(tx: Transaction, answer: Answer) -> str:
            key = passkeys.use(tx, answer, self._rp, self._clock())
            user = tx.session.get_one(User, key.user_id)  # held since his key was looked at
            if user.disabled_at is not None or not user.password:
                raise NotValid("disabled, or to choose a password first")
            return self._begin(tx, user, key, address, agent)

        return Entered(self._taken(text, Purpose.ENTER, holder, None, address, work), asks_code=False)

    def second_step(self, person: Person, text: str) -> str:
        """The new token of a session that is complete now. Raises `Refused`."""

        def work(tx: Transaction, answer: Answer) -> str:
            self._his(tx, answer, person)
            return sessions.complete(tx, person.session_id, self._clock())

        return self._taken(text, Purpose.SECOND_STEP, person.session_id, person, person.address, work)

    def confirm(self, person: Person, text: str) -> None:
        """Confirm who he is, by a passkey of his. Raises `Refused`."""

        def work(tx: Transaction, answer: Answer) -> str:
            self._his(tx, answer, person)
            sessions.confirm(tx, person.session_id, self._clock())
            return ""

        self._taken(text, Purpose.CONFIRM, person.session_id, person, person.address, work)

    def _his(self, tx: Transaction, answer: Answer, person: Person) -> None:
        if passkeys.use(tx, answer, self._rp, self._clock()).user_id != person.user_id:
            raise NotValid("another user's")

    def _begin(self, tx: Transaction, user: User, key: Passkey, address: str, agent: str) -> str:
        now = self._clock()
        author = Author(user.id, user.name or user.email, address)
        record(tx, Entry("login", author, Subject("user", user.id), after={"passkey": key.name}), now)
        return sessions.begin(tx, user, address, agent, now, complete=True)

    def _taken(self, text: str, purpose: Purpose, holder: str, person: Person | None, address: str,
               work: Callable[[Transaction, Answer], str]) -> str:  # fmt: skip
        """Return what `work` gives for an answer to an open question. Counts every failure."""
        counted = count(self._database, _keys_of(purpose, person, address), self._clock())
        try:
            answer = self._asked(text, purpose, holder)
            given = self._database.transact(work, answer)
        except (NotValid, Copied) as error:
            if isinstance(error, Copied):
                self._database.transact(self._note_copied, error, address)
            raise self._refused(error) from None
        self._database.transact(throttle.succeeded, counted)
        return given

    def _asked(self, text: str, purpose: Purpose, holder: str) -> Answer:
        """Read an answer; use its question up in a transaction of its own, whatever comes of the answer."""
        answer = authenticator.read(text)
        if not self._database.transact(challenges.take, answer.challenge, purpose, holder, self._clock()):
            raise NotValid("no such question is open")
        return answer

    def _note_copied(self, tx: Transaction, error: Copied, address: str) -> None:
        user = tx.session.get_one(User, error.user_id)
        author, about = Author(user.id, user.name or user.email, address), Subject("passkey", error.key_id)
        record(tx, Entry("passkey_copied", author, about, after={"name": error.name}), self._clock())

    def _not_too_often(self, keys: tuple[str, ...]) -> None:
        with self._database.read() as session:
            not_too_often(throttle.waits_until(session, keys, self._clock()))

    @staticmethod
    def _refused(error: Exception) -> Refused:
        log.info("a passkey is refused: %s", error)
        return Refused(WRONG)


def _keys_of(purpose: Purpose, person: Person | None, address: str) -> tuple[str, ...]:
    """Return the rows his tries count in: by address before a name is known, by session once he is logged in."""
    if person is None:
        return throttle.keys_of_address(address)
    if purpose is Purpose.SECOND_STEP:
        return throttle.keys_of(person.email, address, person.browser)
    return throttle.keys_of_session(person.session_id)
