"""Counters and histograms: what all processes count is one sum, survives them, and costs an idle cloud nothing."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from cloud.metrics.counts import Counter, Counts, Histogram
from cloud.metrics.exposition import Counted, exposition
from cloud.metrics.totals import EVERY, Keeper, Total, begin_anew, totals
from tests.cloud.worlds import World

CUPS = Counter("cups_total", "Cups.", ("size",), known=(("big",), ("small",)))
WAIT = Histogram("wait_seconds", "Waiting.", ("who",), (0.5, 1, 2))


def told(world: World) -> dict[str, float]:
    with world.database.read() as session:
        found = totals(session)
    page = exposition((), [Counted(metric, found.get(metric.name, {})) for metric in (CUPS, WAIT)])
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_what_several_processes_counted_is_one_sum(world: World) -> None:
    processes = [Counts(), Counts()]
    keepers = [Keeper(world.database, counts) for counts in processes]
    for counts in processes:
        counts.count(CUPS, "small")
        for seconds in (0.2, 0.5, 1.5, 7.0):
            counts.observe(WAIT, seconds, "a\nb")
    with ThreadPoolExecutor() as pool:
        assert set(pool.map(lambda keeper: keeper.step(world.now), keepers)) == {world.now + EVERY}
    keepers[0].step(world.now)
    found = told(world)
    assert (found['cups_total{size="small"}'], found['cups_total{size="big"}']) == (2, 0)


def test_a_histogram_is_told_as_prometheus_reads_it(world: World) -> None:
    counts = Counts()
    for seconds in (0.2, 0.5, 1.5, 7.0, -3.0):
        counts.observe(WAIT, seconds, "buyer")
    Keeper(world.database, counts).end()
    found = told(world)
    buckets = {end: found[f'wait_seconds_bucket{{who="buyer",le="{end}"}}'] for end in ("0.5", "1", "2", "+Inf")}
    assert buckets == {"0.5": 3, "1": 3, "2": 4, "+Inf": 5}
    assert found['wait_seconds_count{who="buyer"}'] == 5
    assert found['wait_seconds_sum{who="buyer"}'] == pytest.approx(9.2)


def test_other_bounds_of_a_later_version_keep_what_was_counted(sqlite_world: World) -> None:
    counts = Counts()
    for seconds in (0.2, 0.7, 1.5):
        counts.observe(WAIT, seconds, "buyer")
    Keeper(sqlite_world.database, counts).end()
    later = Histogram(WAIT.name, WAIT.help, WAIT.labels, (0.5, 1.5))
    with sqlite_world.database.read() as session:
        page = exposition((), [Counted(later, totals(session)[WAIT.name])])
    assert re.findall(r'le="(\S+)"} (\d+)', page) == [("0.5", "1"), ("1.5", "2"), ("+Inf", "3")]


def test_an_idle_process_writes_nothing(world: World) -> None:
    asked: list[str] = []
    for engine in (world.database.engine, world.database._together.engine):
        event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    keeper = Keeper(world.database, Counts())
    for _ in range(3):
        keeper.step(world.now)
    keeper.end()
    assert asked == []


def test_what_cannot_be_written_is_written_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts()
    keeper = Keeper(world.database, counts)
    counts.count(CUPS, "big")

    def away(*_: object) -> None:
        raise OperationalError("", {}, Exception("away"))

    with monkeypatch.context() as broken:
        broken.setattr(world.database, "transact", away)
        with pytest.raises(OperationalError):
            keeper.step(world.now)
        counts.count(CUPS, "big")
    keeper.step(world.now)
    assert told(world)['cups_total{size="big"}'] == 2


def test_a_restore_begins_at_zero(world: World) -> None:
    counts = Counts()
    counts.count(CUPS, "big")
    Keeper(world.database, counts).end()
    world.database.transact(begin_anew)
    with world.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Total)) == 0


def test_no_count_is_lost_between_threads() -> None:
    counts, taken = Counts(), []
    over = threading.Event()

    def take() -> None:
        while not over.is_set():
            taken.append(counts.take())

    def count(_: int) -> None:
        for _ in range(2000):
            counts.count(CUPS, "big")

    taking = threading.Thread(target=take)
    taking.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    over.set()
    taking.join()
    assert sum(sum(cells.values()) for cells in [*taken, counts.take()]) == 8000
