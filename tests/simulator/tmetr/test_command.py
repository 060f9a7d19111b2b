"""`coffee-simulator tmetr` as a process: it tells its address, serves, and ends cleanly."""

import re
import signal
import subprocess
import sys

import pytest
import requests

from simulator.cli import main

PROGRAM = [sys.executable, "-m", "simulator", "tmetr"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_with_0(number: signal.Signals) -> None:
    arguments = [*PROGRAM, "--port", "0", "--token", "secret", "--machine", "m-7"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r"API: (\S+)", process.stdout.readline())
        assert match is not None
        asked = {"deviceId": "m-7", "drinkIdAtDevice": "americano", "drinkSize": "SMALL"}
        headers = {"Authorization": "Bearer secret"}
        told = requests.post(f"{match[1]}/api/ui/v1/static/drink", json=asked, headers=headers, timeout=10)
        assert told.json()["price"] == 14900
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


def test_a_taken_port_is_said_and_ends_with_1() -> None:
    with subprocess.Popen([*PROGRAM, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = re.search(r":(\d+)$", process.stdout.readline().strip())
        assert port is not None
        result = subprocess.run([*PROGRAM, "--port", port[1]], capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 1
        assert "cannot listen" in result.stderr
        process.terminate()


def test_help_lists_every_fault_switch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["tmetr", "--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(kind in told for kind in ("refuse", "hang", "reset", "no_price"))
