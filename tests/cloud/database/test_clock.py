"""One time for programs on hosts whose clocks differ: the database's, and the difference is named."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from cloud.background import heartbeat
from cloud.database.clock import SharedClock, utc_now
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from tests.cloud.worlds import SECRET_KEY
from tests.real_parts import missing

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OFF = timedelta(seconds=90)


class Hands:
    """A host's two clocks, turned by hand."""

    def __init__(self) -> None:
        self.wall, self.ticks = NOON, 1000.0

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds

    def clock(self) -> SharedClock:
        return SharedClock(lambda: self.wall, lambda: self.ticks)


@pytest.fixture
def slots() -> Hands:
    return Hands()


def test_until_it_is_set_it_is_the_hosts_own(slots: Hands) -> None:
    assert slots.clock()() == NOON


def test_set_it_goes_on_by_itself_whatever_becomes_of_the_hosts(slots: Hands) -> None:
    clock = slots.clock()
    clock.set_by(lambda: NOON + OFF)
    slots.pass_time(10)
    assert clock() == NOON + OFF + timedelta(seconds=10)
    slots.wall -= timedelta(hours=3)
    assert clock() == NOON + OFF + timedelta(seconds=10)
    assert clock.complaint() == "this host's clock is 10890 s behind the database's"


def test_the_time_the_answer_took_is_no_difference(slots: Hands) -> None:
    """A slow answer was true somewhere in between; a better one is taken over."""
    clock = slots.clock()

    def slow() -> datetime:
        slots.pass_time(4)
        return NOON + timedelta(seconds=3.9)

    clock.set_by(slow)
    off = clock() - slots.wall
    assert abs(off) <= timedelta(seconds=2)
    clock.set_by(lambda: slots.wall)
    assert clock() == slots.wall
    clock.set_by(slow)
    assert clock() == slots.wall, "within what it took: nothing new"


def test_a_small_difference_is_no_complaint(slots: Hands) -> None:
    clock = slots.clock()
    clock.set_by(lambda: NOON + timedelta(seconds=4))
    assert clock.complaint() == ""


def test_it_goes_on_while_the_host_is_suspended(slots: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever wakes takes a lease that is long over for his own until the time is asked for again."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        missing("a clock that counts a suspend: missing (Linux has one)")
    monkeypatch.setattr(time, "clock_gettime", lambda which: slots.ticks if which == time.CLOCK_BOOTTIME else 0.0)
    clock = SharedClock(lambda: slots.wall)
    clock.set_by(lambda: NOON)
    slots.pass_time(600)
    assert clock() == NOON + timedelta(seconds=600)


def on_a_host(url: str, off: timedelta) -> Cloud:
    """A program on a host whose clock is off."""
    cloud = build(Settings(SECRET_KEY, database_url=url))
    cloud.clock = cloud.database.clock = SharedClock(lambda: utc_now() + off)
    cloud.database.set_clock()
    return cloud


@pytest.fixture
def hosts(migrated_postgres_url: str) -> Iterator[tuple[Cloud, Cloud]]:
    """The worker's and the web's: 90 s ahead and 90 s behind."""
    with (
        closing(on_a_host(migrated_postgres_url, OFF)) as worker,
        closing(on_a_host(migrated_postgres_url, -OFF)) as web,
    ):
        yield worker, web


def test_two_hosts_180_seconds_apart_have_one_time_and_say_whose_clock_is_wrong(hosts: tuple[Cloud, Cloud]) -> None:
    worker, web = hosts
    assert abs(worker.clock() - web.clock()) < timedelta(seconds=5)
    worker.database.transact(heartbeat.beat, "w", True, worker.clock())
    answer = create_app(web).test_client().get("/ready")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ready", "missing": [], "warnings": ["this host's clock is 90 s behind the database's"],
    }  # fmt: skip


def test_the_programs_go_by_the_databases_time(migrated_postgres_url: str) -> None:
    cloud = build(Settings(SECRET_KEY, database_url=migrated_postgres_url))
    assert cloud.clock is cloud.database.clock
    cloud.close()
