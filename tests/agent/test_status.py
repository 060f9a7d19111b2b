"""`coffee-agent status` tells the truth about this very moment, and its exit code says whether drinks can be sold."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_mock import MockerFixture

from agent import show
from agent.cli import main
from agent.doctor.examination import examine
from agent.folder_lock import LOCK_FILE
from agent.journal.sqlite_file import LEAST_FREE, SqliteFile
from agent.settings import PREFIX
from agent.status_file import BURST, EVERY_S, NAME, ON_CARD_EVERY_S, StatusFile
from tests.programs import free_port


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The folder of an agent that runs."""
    SqliteFile.open(tmp_path, datetime.now(UTC)).close()
    with (tmp_path / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def say(folder: Path, *, ago_s: float = 1.0, **changes: Any) -> None:
    """What the agent last wrote: all well but for `changes`."""
    said = {
        "agent_version": "1", "device_uuid": "m-001", "broker": "connected", "cloud": "answers", "line": "up",
        "machine": "ready", "selling": True, "reason": "", "refuses": "", "busy_order": None, "faults": [],
    }  # fmt: skip
    (folder / NAME).write_text(json.dumps(said | changes))
    when = time.time() - ago_s
    os.utime(folder / NAME, (when, when))


def test_all_well(running: Path) -> None:
    for refuses in ("", "busy"):
        say(running, refuses=refuses)
        lines, is_good = show.status(running)
        assert is_good
        assert {"selling: yes", "cloud: answers"} <= set(lines)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"broker": "not connected"}, "the broker is not connected"),
        ({"cloud": "does not answer"}, "the cloud does not answer"),
        ({"line": "down", "refuses": "machine_offline"}, "does not answer, its line is down"),
        ({"line": "quiet", "refuses": "machine_offline"}, "does not answer, its line is quiet"),
        ({"refuses": "no_water"}, "cannot make anything now: no_water"),
        ({"reason": "two drinks ended unknown", "refuses": "not_selling"}, "two drinks ended unknown"),
        ({"ago_s": 300.0}, "has said nothing of itself for 300 s"),
        ({"ago_s": 1000.0, "fresh_for_s": 900.0}, "for 1000 s"),
        ({"ago_s": -7200.0}, "did the clock jump?"),
    ],
)
def test_what_stands_in_the_way_is_named(running: Path, said: dict[str, Any], words: str) -> None:
    say(running, **said)
    lines, is_good = show.status(running)
    assert not is_good
    assert "selling: no" in lines
    assert any(line.startswith("not selling: ") and words in line for line in lines)


def test_an_agent_that_was_killed_sells_nothing(tmp_path: Path) -> None:
    SqliteFile.open(tmp_path, datetime.now(UTC)).close()
    say(tmp_path)
    lines, is_good = show.status(tmp_path)
    assert not is_good
    assert {"selling: no", "agent: not running (version 1, 1 s ago)"} <= set(lines)
    assert any("does not run" in line for line in lines)


def test_before_the_first_run_the_journal_is_not_said_to_be_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}STATE_DIR", str(tmp_path))
    assert main(["journal"]) == 1
    assert capsys.readouterr().err == f"coffee-agent: no agent has run with {tmp_path}\n"


def test_a_full_disk(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(running)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=LEAST_FREE - 1))
    lines, is_good = show.status(running)
    assert not is_good
    assert any("the disk is full" in line for line in lines)


def test_a_file_that_cannot_be_read_is_not_no_agent(running: Path) -> None:
    (running / NAME).write_text("")
    lines, is_good = show.status(running)
    assert (is_good, "cannot be read" in lines[0]) == (False, True)


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_file_is_written_when_it_has_changed_and_else_seldom_touched(tmp_path: Path, in_memory: bool) -> None:
    state, memory = tmp_path / "state", tmp_path / "run"
    state.mkdir()
    memory.mkdir()
    (state / NAME).write_text("{}")
    file = StatusFile(state, {"RUNTIME_DIRECTORY": str(memory)} if in_memory else {})
    home = memory if in_memory else state
    file.write_if_changed({"line": "up"}, "12:00", 0.0)
    written = (home / NAME).stat()
    assert (state / NAME).is_symlink() is in_memory
    every = EVERY_S if in_memory else ON_CARD_EVERY_S
    for second in range(1, int(every)):
        file.write_if_changed({"line": "up"}, "12:01", float(second))
    assert (home / NAME).stat() == written
    os.utime(home / NAME, (1.0, 1.0))
    file.write_if_changed({"line": "up"}, "12:02", every)
    assert (home / NAME).stat().st_ino == written.st_ino
    assert (home / NAME).stat().st_mtime > 1.0
    file.write_if_changed({"line": "down"}, "12:03", every + 1)
    assert json.loads((state / NAME).read_text())["line"] == "down"
    file = StatusFile(state, {})
    file.write_if_changed({"line": "up"}, "12:04", 0.0)
    assert not (state / NAME).is_symlink()


def test_a_status_that_went_with_the_last_boot(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "gone")
    assert "since this computer started" in show.status(tmp_path)[0][0]


def test_changes_are_told_as_they_come_but_a_flapping_line_spares_the_card(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """Looked at every second: what an operator reads is a second old, not ten."""
    file = StatusFile(tmp_path, {})
    write = mocker.spy(file, "_write")
    for second in range(100):
        file.write_if_changed({"running": True, "line": second % 2}, "", float(second))
        if second < BURST:
            assert json.loads((tmp_path / NAME).read_text())["line"] == second % 2
    assert write.call_count <= BURST + 100 / EVERY_S + 1
    file.write_if_changed({"running": False, "line": 0}, "", 100.0)
    assert json.loads((tmp_path / NAME).read_text())["running"] is False, "its end is always told"


def test_the_doctor_does_not_call_an_agent_well_that_sells_nothing(running: Path) -> None:
    say(running, line="down", refuses="machine_offline")
    env = {
        "COFFEE_AGENT_DEVICE_UUID": "m-001",
        "COFFEE_AGENT_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}",
        "COFFEE_AGENT_SERIAL": "/dev/null",
        "COFFEE_AGENT_STATE_DIR": str(running),
    }
    bad = [finding.words for finding in examine(env) if finding.is_bad and finding.subject == "selling"]
    assert len(bad) == 1
    assert "does not answer, its line is down" in bad[0]
