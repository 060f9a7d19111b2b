"""`coffee-simulator machine` as a real process: it says where it is, ends cleanly, and survives being killed."""

import argparse
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import requests
import serial

from protocol.machine import MakeDrink, to_frame
from simulator.machine.command import add_arguments, run
from simulator.machine.framing import encode
from simulator.machine.switches import SWITCHES
from tests.programs import Program
from tests.waiting import wait_until

_START = """
import argparse, sys
from simulator.machine.command import add_arguments, run
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run(parser.parse_args()))
"""
ROOT = Path(__file__).parents[3]


def start(folder: Path, *options: str) -> Program:
    tty = ["--tty", str(folder / "tty"), "--memory", str(folder / "memory.json")]
    program = Program([sys.executable, "-c", _START, *tty, *options], log=folder / "log", cwd=ROOT)
    program.wait_until_ready(lambda: len(panels(program)) > 0)
    return program


def panels(program: Program) -> list[str]:
    return re.findall(r"panel (http://\S+)", program.output)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def test_the_help_lists_every_switch() -> None:
    words = set(re.findall(r"[a-z_]+", parser().format_help()))
    assert words >= SWITCHES.keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_told(tmp_path: Path, number: signal.Signals) -> None:
    program = start(tmp_path, "--fault", "no_water", "--fault", "drop_done:every=2")
    assert requests.get(panels(program)[0] + "/api/state", timeout=10).json()["switches"].keys() == {
        "no_water",
        "drop_done",
    }
    program.send(number)
    assert program.wait() == 0
    assert not (tmp_path / "tty").is_symlink()


def test_killed_while_pouring_it_comes_back_with_what_it_knew(tmp_path: Path) -> None:
    program = start(tmp_path, "--brew-seconds", "30")

    def state() -> dict[str, object]:
        answer: dict[str, object] = requests.get(panels(program)[-1] + "/api/state", timeout=10).json()
        return answer

    wait_until(lambda: state()["state"] == "ready", what="the machine to be ready")
    with serial.Serial(str(tmp_path / "tty")) as line:
        line.write(encode(to_frame(MakeDrink(order_uuid="o1", drink_no="tea", text_flag="1", price=100))))
        wait_until(lambda: state()["order"], what="the pour to begin")
    program.kill()
    (tmp_path / "log").unlink()
    program = start(tmp_path)
    wait_until(lambda: state()["boots"] == 2, what="the second boot")
    last = state()["last"]
    assert isinstance(last, dict)
    assert (last["order_uuid"], last["phase"]) == ("o1", "interrupted")
    assert program.stop() == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--tty", "x", "--tcp", "0"],
        ["--fault", "coffee_everywhere"],
        ["--fault", "no_water:sometimes"],
        ["--brew-seconds", "-1"],
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser().parse_args(options)) == 2
    assert "coffee-simulator machine: " in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["file", "folder", "device"])
def test_what_is_already_there_and_no_symlink_is_not_touched(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tty = tmp_path / "tty"
    if kind == "file":
        tty.write_text("somebody's")
    elif kind == "folder":
        tty.mkdir()
    else:
        os.mkfifo(tty)
    before = tty.lstat()
    assert run(parser().parse_args(["--tty", str(tty)])) == 2
    assert f"coffee-simulator machine: {tty} is there and is no symlink" in capsys.readouterr().err
    assert (tty.lstat().st_ino, tty.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert list(tmp_path.iterdir()) == [tty]
