"""The doctor: every finding it can have, each ending in what to do; and the exit codes."""

import errno
import os
import pwd
import select
import sqlite3
import ssl
import threading
import tomllib
import tty
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.doctor import broker, storage
from agent.doctor import machine as serial_line
from agent.doctor.examination import examine
from agent.doctor.findings import BAD, GOOD, WARN, WRONG, Finding
from agent.journal.sales_block import SalesBlock
from agent.journal.sqlite_file import FILE, LEAST_FREE, SCHEMA_VERSION, JournalFailed, SqliteFile
from agent.machine import profile
from agent.machine.serial_port import open_port
from simulator.machine import MachineSimulator
from tests.agent.cloud_side import DEVICE, a_cloud_side
from tests.agent.small_disk import a_small_disk
from tests.agent.world import VirtualClock
from tests.mosquitto import Mosquitto
from tests.programs import free_port

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Settings in order, with nobody at the other ends."""
    (tmp_path / "state").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "COFFEE_AGENT_DEVICE_UUID": DEVICE,
        "COFFEE_AGENT_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}",
        "COFFEE_AGENT_SERIAL": str(tmp_path / "no-port"),
        "COFFEE_AGENT_STATE_DIR": str(tmp_path / "state"),
    }


def found(env: dict[str, str], subject: str) -> Finding:
    """The worst finding about this."""
    about = [finding for finding in examine(env) if finding.subject == subject]
    assert about, f"nothing said of {subject}"
    return max(about, key=lambda finding: [GOOD, WARN, BAD, WRONG].index(finding.mark))


# Clock and disk


@pytest.mark.parametrize(
    ("now", "mark", "words"),
    [(NOW, GOOD, "2026-05-01"), (datetime(1970, 1, 2, tzinfo=UTC), WARN, "timedatectl set-ntp true")],
)
def test_the_clock(now: datetime, mark: str, words: str) -> None:
    finding = storage.clock(now)
    assert finding.mark == mark
    assert words in finding.words


@pytest.mark.parametrize(
    ("off", "mark", "words"),
    [(0.5, GOOD, "+0.5 s"), (86_400, WARN, "86400 s ahead of"), (-3600, WARN, "3600 s behind")],
)
def test_the_clock_beside_the_clouds(off: float, mark: str, words: str) -> None:
    finding = broker.clock(NOW + timedelta(seconds=off), NOW)
    assert finding.mark == mark
    assert words in finding.words


@pytest.mark.parametrize(
    ("free", "mark", "words"),
    [(LEAST_FREE - 1, BAD, "make room"), (LEAST_FREE, WARN, "make room"), (10**9, GOOD, "953 MiB free")],
)
def test_the_disk(free: int, mark: str, words: str, tmp_path: Path) -> None:
    finding = storage.disk(tmp_path, free)
    assert finding.mark == mark
    assert words in finding.words


# Folder and journal


def test_a_folder_that_is_not_there_yet_is_no_harm(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").rmdir()
    assert found(env, "disk").words.endswith("`coffee-agent run` makes it")


def test_a_folder_that_cannot_be_made(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    finding = found(env | {"COFFEE_AGENT_STATE_DIR": str(tmp_path / "new" / "state")}, "permissions")
    assert finding.mark == BAD
    assert "may not make it" in finding.words


@pytest.mark.parametrize("place", ["file", "file/state"])
@pytest.mark.parametrize("command", ["doctor", "status", "journal", "run"])
def test_a_file_in_place_of_the_folder_is_a_wrong_setting(
    env: dict[str, str],
    place: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for name, value in (env | {"COFFEE_AGENT_STATE_DIR": str(tmp_path / place)}).items():
        monkeypatch.setenv(name, value)
    assert main([command]) == 2
    said = capsys.readouterr()
    assert f"COFFEE_AGENT_STATE_DIR: {tmp_path / 'file'} is a file, not a folder" in said.out + said.err


def test_what_this_user_may_not_write_is_named_with_its_owner(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user who runs the tests owns what they make, and root may write everything: so the refusal is made up."""
    SqliteFile.open(tmp_path / "state", NOW).close()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != FILE)
    finding = found(env, "permissions")
    assert finding.mark == BAD
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert f"may not write {tmp_path / 'state' / FILE}, which belongs to {owner}" in finding.words
    assert "give it to" in finding.words


def test_a_sound_folder(env: dict[str, str], tmp_path: Path) -> None:
    assert found(env, "journal").words == "none yet"
    SqliteFile.open(tmp_path / "state", NOW).close()
    assert (found(env, "journal").words, found(env, "permissions").mark) == ("sound", GOOD)


def test_a_damaged_journal(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state" / FILE).write_bytes(b"no database" * 1000)
    finding = found(env, "journal")
    assert finding.mark == BAD
    assert "restart the agent" in finding.words


def test_a_sound_journal_on_a_full_disk_is_not_called_damaged(env: dict[str, str], tmp_path: Path) -> None:
    """Regression: the doctor sent people to a restart, which put nothing aside and did not come up."""
    with a_small_disk(tmp_path / "disk", 8) as small:
        env["COFFEE_AGENT_STATE_DIR"] = str(small.folder)
        SqliteFile.open(small.folder, NOW).close()
        small.fill()
        finding = found(env, "journal")
        assert finding.mark == BAD
        assert "cannot be read now" in finding.words
        assert "make room" in finding.words
        with pytest.raises(JournalFailed, match="disk"):
            SqliteFile.open(small.folder, NOW)
        small.make_room()
        assert found(env, "journal").words == "sound"


def test_a_newer_journal_is_neither_sound_nor_damaged(env: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    SqliteFile.open(state, NOW).close()
    newer = sqlite3.connect(state / FILE)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    finding = found(env, "journal")
    assert finding.mark == BAD
    assert "written by a newer agent" in finding.words
    assert "install that version" in finding.words
    with pytest.raises(JournalFailed, match="another version"):
        SqliteFile.open(state, NOW)


def test_selling_that_waits_for_a_person(env: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / FILE).write_bytes(b"no database" * 1000)
    with SqliteFile.open(state, NOW) as opened:
        sales_block = SalesBlock(opened, VirtualClock())
        assert "put aside" in found(env, "journal").words
        assert "--accept-loss" in found(env, "selling").words
        sales_block.accept_loss()
        sales_block.stop_selling("the counter moved by 2 during one order; needs a person")
        finding = found(env, "selling")
        assert finding.mark == BAD
        assert "the counter moved" in finding.words
        assert "--resume-selling" in finding.words
        sales_block.resume_selling()
    assert "selling" not in {finding.subject for finding in examine(env)}


# Port and machine


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "add the user to the group"),
        (errno.EPERM, "add the user to the group"),
        (errno.EBUSY, "another program has it open"),
        (errno.EAGAIN, "another program has it open"),
        (errno.ENOTTY, "this is no serial port"),
        (errno.EIO, "unplug the adapter"),
    ],
)
def test_why_a_port_does_not_open(number: int, words: str) -> None:
    assert words in serial_line.advice("/dev/null", OSError(number, os.strerror(number)))


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    gone = OSError(errno.ENOENT, "gone")
    assert "is the cable in?" in serial_line.advice(str(tmp_path / "none"), gone)
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyUSB9")
    assert "ttyUSB9, which is not there" in serial_line.advice(str(tmp_path / "by-id"), gone)
    assert "is the other end listening?" in serial_line.advice("socket://127.0.0.1:9", gone)


def test_a_file_in_place_of_a_port(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "no-port").touch()
    assert "this is no serial port" in found(env, "port").words


def test_a_port_another_program_has(env: dict[str, str], machine: MachineSimulator) -> None:
    env |= {"COFFEE_AGENT_SERIAL": machine.tty}
    assert found(env, "port").mark == GOOD
    with open_port(machine.tty, profile.load("companion-v1")):
        assert "another program has it open" in found(env, "port").words


def test_a_machine_that_answers(env: dict[str, str], machine: MachineSimulator) -> None:
    finding = found(env | {"COFFEE_AGENT_SERIAL": machine.tty}, "machine")
    assert (finding.mark, "sim-1" in finding.words) == (GOOD, True)


def test_a_machine_that_does_not(env: dict[str, str], machine: MachineSimulator) -> None:
    machine.controls.switch_on("silent")
    finding = found(env | {"COFFEE_AGENT_SERIAL": machine.tty}, "machine")
    assert finding.mark == BAD
    assert "is it on, is the cable the right one, is the speed right?" in finding.words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"framing": {"crc": {"init": 0}}}, "had a wrong checksum (CRC)"),
        ({"framing": {"sync": "AA 56"}}, "no frame among them"),
        ({"commands": {"hello": 0x20, "hello_ack": 0x7F, "make": 0x22}}, "answers no greeting"),
    ],
)
def test_a_machine_that_speaks_another_way(
    env: dict[str, str],
    machine: MachineSimulator,
    settings: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its heartbeat is heard, whatever it makes of our greeting."""
    data = tomllib.loads((profile.SHIPPED / "companion-v1.toml").read_text())
    data["framing"] |= settings.get("framing", {})
    data["commands"] = settings.get("commands", data["commands"])
    other = profile.read(data, "other.toml")
    monkeypatch.setattr(profile, "load", lambda _: other)
    finding = found(env | {"COFFEE_AGENT_SERIAL": machine.tty}, "machine")
    assert finding.mark == BAD
    assert words in finding.words


def test_a_line_that_gives_back_what_we_send(env: dict[str, str], tmp_path: Path) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def echo() -> None:
        while not ended.is_set():
            if select.select([master], [], [], 0.05)[0]:
                os.write(master, os.read(master, 4096))

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        finding = found(env | {"COFFEE_AGENT_SERIAL": os.ttyname(slave)}, "machine")
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)
    assert (finding.mark, "what we send comes back" in finding.words) == (BAD, True)


def test_a_machine_that_can_do_less(env: dict[str, str], machine: MachineSimulator) -> None:
    machine.controls.switch_on("without_counters")
    finding = found(env | {"COFFEE_AGENT_SERIAL": machine.tty}, "machine")
    assert (finding.mark, "it cannot: counters" in finding.words) == (WARN, True)


def test_a_kind_of_machine_that_never_answers(env: dict[str, str], machine: MachineSimulator) -> None:
    env |= {"COFFEE_AGENT_SERIAL": machine.tty, "COFFEE_AGENT_PROFILE": "tmetr-legacy"}
    finding = found(env, "machine")
    assert (finding.mark, "only the port was looked at" in finding.words) == (WARN, True)


# Exit codes


def test_wrong_settings_are_two_and_each_is_named(env: dict[str, str]) -> None:
    del env["COFFEE_AGENT_DEVICE_UUID"]
    env["COFFEE_AGENT_MQTT_URL"] = "http://broker"
    wrong = [finding.words for finding in examine(env) if finding.mark == WRONG]
    assert [words.split()[0] for words in wrong] == ["COFFEE_AGENT_DEVICE_UUID", "COFFEE_AGENT_MQTT_URL"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 1),
        ({"COFFEE_AGENT_PROFILE": "none-such"}, 2),
        ({"COFFEE_AGENT_SERIAL": ""}, 2),
        ({"COFFEE_AGENT_LOG_LEVEL": "VERBOSE"}, 2),
        ({"COFFEE_AGENT_LOG": "xml"}, 2),
    ],
)
def test_the_exit_code(
    env: dict[str, str], changes: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (env | changes).items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == code
    if code == 2:
        assert main(["run"]) == 2


def test_all_well_is_nought(
    env: dict[str, str],
    machine: MachineSimulator,
    mosquitto: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (env | {"COFFEE_AGENT_SERIAL": machine.tty, "COFFEE_AGENT_MQTT_URL": mosquitto.url}).items():
        monkeypatch.setenv(name, value)
    with a_cloud_side(mosquitto.url):
        assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == ["good"] * len(told.splitlines())


def test_ssl_errors_are_os_errors() -> None:
    """The doctor, and the link, catch them as such."""
    assert issubclass(ssl.SSLError, OSError)
