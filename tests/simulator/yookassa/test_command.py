"""`coffee-simulator yookassa` as a process: it tells its address, serves, and ends cleanly."""

import argparse
import re
import signal
import subprocess
import sys

import pytest
import requests

from simulator.yookassa.command import add_arguments

PROGRAM = (
    "import argparse, sys; from simulator.yookassa.command import add_arguments, run; "
    "parser = argparse.ArgumentParser(); add_arguments(parser); sys.exit(run(parser.parse_args()))"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_with_0(number: signal.Signals) -> None:
    arguments = [sys.executable, "-c", PROGRAM, "--port", "0", "--shop", "7:seven", "--shop", "8:eight", "--receipts"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r"API: (\S+)", process.stdout.readline())
        assert match is not None
        me = requests.get(f"{match[1]}/me", auth=("8", "eight"), timeout=10)
        assert (me.json()["account_id"], me.json()["fiscalization_enabled"]) == ("8", True)
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_a_taken_port_is_said_and_ends_with_1() -> None:
    first = [sys.executable, "-c", PROGRAM, "--port", "0"]
    with subprocess.Popen(first, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = re.search(r":(\d+)/v3", process.stdout.readline())
        assert port is not None
        second = [sys.executable, "-c", PROGRAM, "--port", port[1]]
        result = subprocess.run(second, capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 1
        assert "cannot listen" in result.stderr
        process.terminate()


@pytest.mark.parametrize(
    "arguments", [["--shop", "x"], ["--shop", ":y"], ["--time-scale", "0"], ["--time-scale", "x"], ["--port", "99999"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(arguments)
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err
