"""Logging in, step by step, and showing again who one is.

Passwords are compared outside transactions; what is then written asks whether it is still the one that was compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cloud.access import passwords, second_factor, sessions, throttle, users
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.models import User
from cloud.access.person import Person
from cloud.access.second_factor import Locks
from cloud.access.throttle import Try
from cloud.database.database import Database
from cloud.database.transaction import Transaction


class Refused(Exception):
    """Not let in: `wrong`, or `wait` (with `until`) after too many attempts."""

    def __init__(self, why: str, until: datetime | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.until = until


@dataclass(frozen=True)
class Entered:
    """The first step is taken; `asks_code` where a second one follows."""

    token: str
    asks_code: bool


class Login:
    """Lets people in."""

    def __init__(self, database: Database, locks: Locks, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._locks = locks
        self._clock = clock

    def enter(self, email: str, password: str, address: str, agent: str, browser: str = "") -> Entered:
        """Take the first step. `browser`: the account's name for it. `Refused` is alike for no user and no match."""
        counted = count(self._database, throttle.keys_of(email, address, browser), self._clock())
        with self._database.read() as session:
            user = users.by_email(session, email)
            asks_second = user is not None and second_factor.has_any(session, user)
        good = self._fits(password, "" if user is None or user.disabled_at is not None else user.password, counted)
        if user is None or not good:
            raise Refused("wrong")
        token = self._database.transact(self._begin, user, counted, address, agent, not asks_second)
        return Entered(token, asks_second)

    def second_step(self, person: Person, code: str) -> str:
        """The new token of a session that is complete now. Raises `Refused`."""
        self._take(person, code, throttle.keys_of(person.email, person.address, person.browser))
        return self._database.transact(sessions.complete, person.session_id, self._clock())

    def confirm(self, person: Person, password: str, code: str) -> None:
        """Confirm who he is: by a code where he has a second factor, else by his password. Raises `Refused`."""
        if person.has_second_factor:
            self._take(person, code, throttle.keys_of_session(person.session_id))
        else:
            self._fits_password(person, password)
        self._database.transact(sessions.confirm, person.session_id, self._clock())

    def change_password(self, person: Person, old: str, new: str) -> str:
        """Change the password; return what is wrong with the new one, or "". Raises `Refused` for a wrong old one."""
        stored = self._fits_password(person, old)
        problem = passwords.problem(new, person.email)
        if not problem:
            fresh = passwords.hash_of(new)
            self._database.transact(self._change, person, stored, fresh)
        return problem

    def _change(self, tx: Transaction, person: Person, stored: str, fresh: str) -> None:
        now = self._clock()
        _still_fits(tx, person.user_id, stored)
        if sessions.again(tx.session, person.session_id, now) is None:
            raise Refused("wrong")
        users.set_password(tx, person.user_id, fresh, now, keep=person.session_id)
        record(tx, Entry("password", Author.of(person), Subject("user", person.user_id)), now)

    def _fits_password(self, person: Person, password: str) -> str:
        """What is stored of the password that fitted. Raises `Refused`."""
        counted = count(self._database, throttle.keys_of_session(person.session_id), self._clock())
        with self._database.read() as session:
            stored = session.get_one(User, person.user_id).password
        if not self._fits(password, stored, counted):
            raise Refused("wrong")
        self._database.transact(throttle.succeeded, counted)
        return stored

    def _fits(self, password: str, stored: str, counted: Try) -> bool:
        """Tell whether it is this password. A try that is not looked at now counts as no failure."""
        try:
            return passwords.fits(password, stored)
        except passwords.Busy:
            self._database.transact(throttle.give_back, counted)
            raise

    def _take(self, person: Person, code: str, keys: tuple[str, ...]) -> None:
        counted = count(self._database, keys, self._clock())
        if not self._database.transact(self._use_code, person, code, counted):
            raise Refused("wrong_code")

    def _use_code(self, tx: Transaction, person: Person, code: str, counted: Try) -> bool:
        now = self._clock()
        kind = second_factor.take(tx, person.user_id, self._locks, code, now)
        if kind == "recovery":
            record(tx, Entry("recovery_code", Author.of(person), Subject("user", person.user_id)), now)
        if kind:
            throttle.succeeded(tx, counted)
        return bool(kind)

    def _begin(self, tx: Transaction, user: User, counted: Try, address: str, agent: str, complete: bool) -> str:
        now = self._clock()
        _still_fits(tx, user.id, user.password)
        author = Author(user.id, user.name or user.email, address)
        record(tx, Entry("login", author, Subject("user", user.id)), now)
        token = sessions.begin(tx, user, address, agent, now, complete=complete)
        (throttle.succeeded if complete else throttle.give_back)(tx, counted)  # after the user, as codes are taken
        return token


def _still_fits(tx: Transaction, user_id: str, stored: str) -> None:
    """Lock the user, whose password fitted. Raises `Refused` where it was reset, or the user disabled, meanwhile."""
    user = tx.session.get_one(User, user_id, with_for_update=True)
    if user.password != stored or user.disabled_at is not None:
        raise Refused("wrong")


def count(database: Database, keys: tuple[str, ...], now: datetime) -> Try:
    """Count a try that is judged next. Raises `Refused` while the user must wait."""
    with database.read() as session:  # whoever goes on and on while he waits writes nothing
        not_too_often(throttle.waits_until(session, keys, now))
    try:
        return database.transact(throttle.begin, keys, now)
    except throttle.Waits as waits:
        raise Refused("wait", waits.until) from None


def not_too_often(until: datetime | None) -> None:
    """Raise `Refused` while the user must wait."""
    if until is not None:
        raise Refused("wait", until)
