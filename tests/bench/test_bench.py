"""The bench itself: a slice of a few orders gives figures of the right shape, and they are recorded. Times nothing."""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench import __main__ as program
from bench import bare, idle, interpreter, orders, reads, report
from bench.figures import percentile, spread
from bench.parts import Part

SEGMENTS = 6
ORDERS = AGENTS = 2
"""One for each order of the slice: a machine still pouring refuses the next, and this machine may be slow."""


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0.01, 0.25, 0.5, 0.75, 1)] == [1, 1, 2, 3, 4]
    assert percentile(list(range(1, 101)), 0.99) == 99


def test_beside_each_figure_stands_how_often_the_bare_chains_it_is() -> None:
    assert report._cells((3.0, 9.25), (1.5, 3.7)) == ("3 / 9.2", "2.00 / 2.50")
    assert report._cells((3.0,), None) == ("3", "")
    assert report._medians([{"a": (1.0, 9.0)}, {"a": (3.0, 7.0)}, {"a": (2.0, 8.0), "b": ()}]) == {
        "a": (2.0, 8.0),
        "b": (),
    }


def test_a_spread_is_told_in_milliseconds_and_of_nothing_there_is_none() -> None:
    found = spread([0.003, 0.001, 0.002])
    assert found is not None
    assert (found.count, found.p50, found.longest) == (3, 2.0, 3.0)
    assert spread([]) is None


def test_everything_about_an_order_follows_from_its_number() -> None:
    told = orders.payment_object(4711, "succeeded")
    assert orders.number_of_payment(str(told["id"])) == 4711
    assert told["metadata"] == {"order_id": orders.order_id(4711), "payment": orders.our_payment_id(4711)}
    names = [make(number) for make in (orders.order_id, orders.our_payment_id) for number in (1, 2)]
    assert len(set(names)) == len(names)


class Counter:
    """A part that counts how often it was asked."""

    def __init__(self, start: int) -> None:
        self._counts = itertools.count(start)

    def address(self) -> str:
        return "here"

    def take(self) -> int:
        return next(self._counts)

    def close(self) -> None:
        pass


def test_a_part_works_in_a_process_of_its_own_until_it_is_told_to_end() -> None:
    with Part("counter", Counter, 5) as part:
        assert part.address == "here"
        assert [part.take(), part.take()] == [5, 6]


@pytest.mark.usefixtures("mosquitto")
def test_a_slice_of_the_bench_measures_every_order_on_sqlite(tmp_path: Path) -> None:
    """Real parts are asked for, so that a missing one is skipped as everywhere; the bench starts its own."""
    check_slice("sqlite", tmp_path)


@pytest.mark.long
@pytest.mark.usefixtures("mosquitto", "postgres_server")
def test_a_slice_of_the_bench_measures_every_order_on_postgresql(tmp_path: Path) -> None:
    check_slice("postgresql", tmp_path)


def test_rest_is_promised_of_the_cloud_as_a_whole_and_of_each_agent() -> None:
    rests = {name: idle.Rest(0.6, 0.4) for name in ("cloud web", "cloud worker", "agent m", "mosquitto")}
    rests["postgresql"] = idle.Rest(50.0, 50.0)
    judged = idle.judged(rests)
    assert judged == {"cloud": idle.Rest(1.2, 0.8), "agent m": idle.Rest(0.6, 0.4)}
    assert [idle.keeps([rest]) for rest in judged.values()] == [False, True]


@pytest.mark.long
@pytest.mark.usefixtures("mosquitto")
def test_two_programs_on_one_sqlite_file_are_watched_at_rest(tmp_path: Path) -> None:
    idle.main(["--deployments", "sqlite-apart", "--seconds", "0.2", "--settle", "0", "--record", str(tmp_path)])
    [path] = tmp_path.glob("idle-*.json")
    [watched] = json.loads(path.read_text())["results"].values()
    assert {"cloud web", "cloud worker"} < watched.keys()


def test_a_python_that_is_asked_for_is_taken_and_its_pace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(interpreter.CHOICE, sys.executable)
    interpreter.chosen.cache_clear()
    assert interpreter.chosen() == sys.executable
    assert f"(this environment's own: {interpreter.work_ms(sys.executable)} ms" in interpreter.told()
    interpreter.chosen.cache_clear()


def test_measured_programs_load_what_a_deployment_has_and_nothing_of_the_tests_or_the_system() -> None:
    look = "import sys, mako.exceptions, requests; print({'pygments', 'chardet'} & sys.modules.keys())"
    python = interpreter.command("")[:2]
    said = subprocess.run([*python, "-c", look], env=interpreter.environ(), capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


@pytest.mark.long
@pytest.mark.usefixtures("mosquitto")
def test_the_bare_chain_is_measured(tmp_path: Path) -> None:
    assert bare.main(["--databases", "sqlite", "--seconds", "2", "--record", str(tmp_path)]) == 0
    [path] = tmp_path.glob("bare-*.json")
    [result] = json.loads(path.read_text())["results"]
    assert {rate: chain["count"] for rate, chain in result["chain"].items()} == {"2/s": 4, "50/s": 20}
    assert result["maximum"] > 0
    assert [asked["failed"] for asked in result["reads"]] == [0, 0]


def check_reads(found: list[dict[str, float]]) -> None:
    assert [(asked["callers"], asked["knows"]) for asked in found] == [(2, False), (2, True)]
    assert all(asked["failed"] == 0 and asked["a_second"] > 0 for asked in found)
    assert [asked["unchanged"] > 0 for asked in found] == [False, True]


@pytest.fixture(autouse=True)
def short_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few callers; what `--memory` changes for the process is changed back."""
    monkeypatch.setattr(reads, "CALLERS", (2,))
    monkeypatch.setattr(tempfile, "tempdir", None)


def check_slice(database: str, tmp_path: Path) -> None:
    few = ["--rates", str(ORDERS), "--seconds", "1", "--maximum-seconds", "0.5", "--maximum-orders", "40"]
    few += ["--idle-seconds", "0.2", "--reads-seconds", "0.2", "--buyers-seconds", "1", "--memory", "--no-bare"]
    few += ["--agents", str(AGENTS)]
    assert program.main(["--databases", database, *few, "--record", str(tmp_path)]) == 0
    [path] = (tmp_path / "results").iterdir()
    recorded = json.loads(path.read_text())
    [result] = recorded["results"]
    [latency] = result["latencies"]
    assert latency["chain"]["count"] == latency["cloud"]["count"] == ORDERS
    assert 0 < latency["chain"]["p50"] <= latency["chain"]["p99"]
    assert len(latency["segments"]) == SEGMENTS
    assert all(cut["count"] == ORDERS for cut in latency["segments"].values())
    assert (latency["missing"], result["maximum"]["unfinished"]) == (0, 0)
    bought = result["bought"]["orders"]
    assert result["statuses"]["successful"] == result["posted"] == ORDERS + result["maximum"]["posted"] + bought
    assert bought >= 1
    assert result["bought"]["unfinished"] == 0
    check_reads(result["reads"])
    assert "fdatasync" in recorded["software"]
    assert "fixed piece of work" in recorded["software"]
    assert result["agent_start"]["count"] == AGENTS
    assert all(rest["percent"] >= 0 and rest["kib_a_second"] >= 0 for rest in result["idle"].values())
    assert sum(name.startswith("cloud ") for name in result["idle"]) == (1 if database == "sqlite" else 2)
    assert any(name.startswith("cloud ") for name in result["memory_after"])
    readme = (tmp_path / "README.md").read_text()
    assert "| × bare |" in readme
    assert f"| webhook to first byte, at {ORDERS}/s: p50 / p99 ms | " in readme
