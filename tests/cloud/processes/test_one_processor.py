"""Which processor a program stays on, and that all its threads do."""

import errno
import logging
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from cloud.processes.one_processor import Look, OneProcessor, chosen_by, roomiest

NOW = datetime(2026, 11, 29, tzinfo=UTC)
TEN_SECONDS_LATER: dict[str, tuple[Mapping[int, float], float, int | None, int | None]] = {
    # What was idle of each, what we used, where we are: where to go.
    "the idlest at first": ({0: 2.0, 1: 9.0, 2: 5.0}, 0.3, None, 1),
    "what we use ourselves is no reason to go": ({0: 0.5, 1: 8.0}, 9.3, 0, 0),
    "others use it, and one rests": ({0: 0.5, 1: 9.5}, 4.0, 0, 1),
    "others use it, and the other one too": ({0: 0.5, 1: 2.0}, 2.0, 0, 0),
    "a little more room is none": ({0: 7.0, 1: 9.9}, 1.0, 0, 0),
    "ours was taken away": ({1: 3.0}, 2.0, 0, 1),
    "nothing is told": ({}, 2.0, None, None),
}


@pytest.mark.parametrize(("idle", "used", "own", "goes_to"), TEN_SECONDS_LATER.values(), ids=list(TEN_SECONDS_LATER))
def test_where_there_is_most_room(idle: Mapping[int, float], used: float, own: int | None, goes_to: int | None) -> None:
    before = Look(at=50.0, used=7.0, idle={0: 100.0, 1: 200.0, 2: 300.0})
    after = Look(at=60.0, used=7.0 + used, idle={number: before.idle[number] + of for number, of in idle.items()})

    assert roomiest(before, after, own) == goes_to


class Told:
    """Processors that were as idle as the test says since the last look."""

    def __init__(self) -> None:
        self.idle = {0: 0.0, 1: 0.0}
        self.at = 0.0
        self.asked: list[int] = []
        self.refuses = False

    def pass_ten_seconds(self, *idle: float) -> None:
        self.at += 10.0
        for number, seconds in enumerate(idle):
            self.idle[number] += seconds

    def look(self) -> Look:
        return Look(self.at, 0.0, dict(self.idle))

    def stay_on(self, processor: int) -> None:
        self.asked.append(processor)
        if self.refuses:
            raise OSError(errno.EPERM, "not permitted")


def test_it_looks_once_then_chooses_and_goes_only_where_it_is_not() -> None:
    told = Told()
    steps = OneProcessor(told, Random(1))

    assert steps.step(NOW) == NOW + timedelta(seconds=1)
    assert told.asked == []
    for idle in ((3.0, 9.0), (4.0, 9.0), (9.0, 1.0), (9.0, 9.0)):
        told.pass_ten_seconds(*idle)
        assert NOW + timedelta(seconds=8) <= steps.step(NOW) <= NOW + timedelta(seconds=16)
    assert told.asked == [1, 0]


def test_where_the_system_forbids_it_that_is_said_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    told.refuses = True
    steps = OneProcessor(told, Random(1))

    steps.step(NOW)
    told.pass_ten_seconds(3.0, 9.0)

    assert steps.step(NOW) == NOW + timedelta(days=1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "not permitted" in caplog.text


def test_the_system_decides_when_it_is_asked_to() -> None:
    assert chosen_by("all") is None


THREADS = """\
import os, threading
from cloud.processes.one_processor import LinuxProcessors
ended = threading.Event()
for _ in range(5):
    threading.Thread(target=ended.wait).start()
processors = LinuxProcessors()
looked = processors.look()
assert looked.idle.keys() <= os.sched_getaffinity(0) and looked.idle, looked
chosen = max(looked.idle)
processors.stay_on(chosen)
threading.Thread(target=ended.wait).start()
print(*{frozenset(os.sched_getaffinity(int(thread))) == {chosen} for thread in os.listdir("/proc/self/task")})
ended.set()
"""


def test_all_threads_stay_those_begun_later_too() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout.strip(), done.stderr) == ("True", "")
