"""What a stored password costs whoever steals the database, and what it may cost us."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher, Type

from cloud.access import passwords
from tests.passwords import PROPER


class Crowd(PasswordHasher):
    """Knows how many of its hashes were made at once; none ends before `full` came together, or nobody else comes."""

    def __init__(self, full: int) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.most = self._now = 0
        self._change, self._full = threading.Lock(), threading.Barrier(full)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._change:
            self._now += 1
            self.most = max(self.most, self._now)
        self._full.wait(30)
        with self._change:
            self._now -= 1
        return super().hash(password, salt=salt)


def test_a_guess_costs_what_is_recommended() -> None:
    """OWASP's least for Argon2id is 19 MiB, twice."""
    assert PROPER.type is Type.ID
    assert PROPER.memory_cost >= 19 * 1024
    assert PROPER.time_cost >= 2


def test_strangers_at_once_cost_the_memory_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: each request hashed in its own thread, 64 MiB each; twenty-four took a gigabyte and a half."""
    crowd = Crowd(passwords.AT_ONCE)
    monkeypatch.setattr(passwords, "_hasher", crowd)
    monkeypatch.setattr(passwords, "PATIENCE_S", 30.0)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(passwords.hash_of, ["a good password"] * 12))
    assert crowd.most == passwords.AT_ONCE


def test_who_has_no_turn_is_told_so_and_the_turn_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = passwords.hash_of("a good password")
    monkeypatch.setattr(passwords, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(passwords, "PATIENCE_S", 0.0)
    with passwords._turn():
        for ask in (lambda: passwords.hash_of("a good password"), lambda: passwords.fits("a good password", stored)):
            with pytest.raises(passwords.Busy):
                ask()
    assert passwords.fits("a good password", stored)
    assert not passwords.fits("another password", stored)
    assert passwords.fits("a good password", stored)
