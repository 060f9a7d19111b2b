"""Who tries at once, and who tries in another's name."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from typing import Any

import pyotp
import pytest

from cloud.access import passwords, second_factor, sessions, users
from cloud.access.login import Login, Refused
from cloud.access.models import LoginSession, User
from cloud.access.person import Person
from cloud.database.transaction import Transaction
from tests.cloud.worlds import World
from tests.waiting import wait_until

EMAIL, PASSWORD, AT_ONCE = "ann@example.com", "a good password", 24


@pytest.fixture
def login(world: World) -> Login:
    """To the account of one user, with a second factor."""
    fresh = passwords.hash_of(PASSWORD)

    def make(tx: Transaction) -> None:
        user = users.add(tx, EMAIL, "Ann", world.now)
        users.set_password(tx, user.id, fresh, world.now)
        second_factor.set_up(tx, user.id, world.vault, pyotp.random_base32(), 0)

    world.database.transact(make)
    return Login(world.database, world.vault, world.clock)


def half(world: World) -> Person:
    """Who has taken the first step."""

    def begin(tx: Transaction) -> str:
        user = users.by_email(tx.session, EMAIL)
        assert isinstance(user, User)
        return sessions.begin(tx, user, "192.0.2.1", "test", world.now, complete=False)

    token = world.database.transact(begin)
    with world.database.read() as session:
        seen = sessions.find(session, token, world.now)
    assert seen is not None
    return seen.person


def at_once(attempt: Callable[[int], object]) -> Counter[str]:
    """Why each of many who come together is refused."""
    gate = Barrier(AT_ONCE)

    def one(number: int) -> str:
        gate.wait(30)
        try:
            attempt(number)
        except Refused as refused:
            return refused.why
        return "let in"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, range(AT_ONCE)))


def test_of_many_passwords_at_once_no_more_are_judged_than_one_after_another(
    world: World, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a try was looked at before those under way were counted, and all at once were judged."""
    monkeypatch.setattr(passwords, "fits", lambda _password, _stored: False)
    assert at_once(lambda n: login.enter(EMAIL, "a wrong one", f"192.0.2.{n}", "x")) == {"wrong": 5, "wait": 19}


def test_of_many_codes_at_once_no_more_are_judged_than_one_after_another(world: World, login: Login) -> None:
    person = half(world)
    assert at_once(lambda n: login.second_step(person, f"{n:06d}")) == {"wrong_code": 5, "wait": 19}


def test_a_right_password_is_no_try_at_the_second_step_nor_frees_one(world: World, login: Login) -> None:
    for _ in range(10):
        assert login.enter(EMAIL, PASSWORD, "192.0.2.1", "x").asks_code
    person = half(world)
    for _ in range(4):
        with pytest.raises(Refused, match="wrong_code"):
            login.second_step(person, "000000")
    login.enter(EMAIL, PASSWORD, "192.0.2.1", "x")
    with pytest.raises(Refused, match="wrong_code"):
        login.second_step(person, "000000")
    with pytest.raises(Refused, match="wait"):
        login.second_step(person, "000000")


@pytest.fixture
def ann(world: World, login: Login) -> str:
    """Her user's id."""
    with world.database.read() as session:
        user = users.by_email(session, EMAIL)
    assert user is not None
    return user.id


def reset(tx: Transaction, user_id: str, now: datetime) -> None:
    users.reset(tx, user_id, now, with_second_factor=False)


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, world: World, act: Callable[[Transaction, str, datetime], object], user_id: str
) -> None:
    """Have this done while the next password is compared."""
    fits = passwords.fits

    def compare(password: str, stored: str) -> bool:
        monkeypatch.setattr(passwords, "fits", fits)
        world.database.transact(act, user_id, world.now)
        return fits(password, stored)

    monkeypatch.setattr(passwords, "fits", compare)


def wait_for_a_lock(world: World, work: Future[Any]) -> None:
    """Until it waits for one of PostgreSQL's, or needed none; SQLite has one writer."""
    if world.database.url.get_backend_name() == "postgresql":
        wait_until(lambda: work.done() or world.somebody_waits(), what="a lock to be waited for")


def live(world: World, user_id: str) -> list[LoginSession]:
    with world.database.read() as session:
        return sessions.live_of(session, user_id, world.now)


def stored(world: World, user_id: str) -> str:
    with world.database.read() as session:
        return session.get_one(User, user_id).password


@pytest.mark.parametrize("act", [reset, users.disable], ids=["reset", "disabled"])
def test_a_login_under_way_does_not_outlive_a_reset(
    world: World, login: Login, ann: str, monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Transaction, str, datetime], object],
) -> None:  # fmt: skip
    """Regression: nothing was looked at again once the password had been compared."""
    meanwhile(monkeypatch, world, act, ann)
    with pytest.raises(Refused, match="wrong"):
        login.enter(EMAIL, PASSWORD, "192.0.2.1", "x")
    assert live(world, ann) == []


def test_a_login_that_is_just_written_is_ended_by_a_reset(
    world: World, login: Login, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = sessions.begin
    with ThreadPoolExecutor(1) as pool:

        def overtaken(tx: Transaction, *args: Any, **kwargs: Any) -> str:
            ending = pool.submit(world.database.transact, reset, ann, world.now)
            wait_for_a_lock(world, ending)
            return begin(tx, *args, **kwargs)

        monkeypatch.setattr(sessions, "begin", overtaken)
        assert login.enter(EMAIL, PASSWORD, "192.0.2.1", "x").asks_code
    assert live(world, ann) == []


@pytest.mark.parametrize("act", [reset, users.disable], ids=["reset", "disabled"])
def test_a_change_of_the_password_under_way_does_not_undo_a_reset(
    world: World, login: Login, ann: str, monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Transaction, str, datetime], object],
) -> None:  # fmt: skip
    """Regression: who knew the old one kept his new one, and the link that the reset had made was worth nothing."""
    person = half(world)
    left = "" if act is reset else stored(world, ann)
    meanwhile(monkeypatch, world, act, ann)
    with pytest.raises(Refused, match="wrong"):
        login.change_password(person, PASSWORD, "another good password")
    assert stored(world, ann) == left


def test_a_session_that_was_ended_changes_no_password(
    world: World, login: Login, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, before = half(world), stored(world, ann)
    meanwhile(monkeypatch, world, sessions.end, ann)
    with pytest.raises(Refused, match="wrong"):
        login.change_password(person, PASSWORD, "another good password")
    assert stored(world, ann) == before


def test_a_password_is_changed_and_the_session_that_asked_stays(world: World, login: Login, ann: str) -> None:
    person = half(world)
    half(world)
    assert login.change_password(person, PASSWORD, "another good password") == ""
    assert [one.id for one in live(world, ann)] == [person.session_id]
    assert login.enter(EMAIL, "another good password", "192.0.2.1", "x").asks_code


def test_a_link_that_is_just_being_used_is_worth_nothing_after_a_reset(world: World, login: Login, ann: str) -> None:
    """Regression: it was looked at before the user was held, and undid the reset."""
    link = world.database.transact(users.invite, ann, world.now)
    with ThreadPoolExecutor(1) as pool:

        def resetting(tx: Transaction) -> Future[User | None]:
            users.reset(tx, ann, world.now, with_second_factor=False)
            tx.write()
            using = pool.submit(world.database.transact, users.take_invitation, link, "another's", world.now)
            wait_for_a_lock(world, using)
            return using

        assert world.database.transact(resetting).result(30) is None
    assert stored(world, ann) == ""
