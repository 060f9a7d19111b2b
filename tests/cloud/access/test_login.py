"""Who tries at once, and who tries in another's name."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyotp
import pytest

from cloud.access import passwords, second_factor, sessions, users
from cloud.access.login import Login, Refused
from cloud.access.models import User
from cloud.access.person import Person
from cloud.database.transaction import Transaction
from tests.cloud.worlds import World

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
