"""`coffee-simulator tbank` as a program of its own."""

import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

PROGRAM = [sys.executable, "-m", "simulator", "tbank"]


def test_it_serves_until_it_is_told_to_stop() -> None:
    program = subprocess.Popen([*PROGRAM, "--port", "0", "--terminal", "key:word"], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())
        assert address is not None
        assert requests.get(f"{address[0]}/sim/books", timeout=10).json() == {"payments": []}
    finally:
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0
        program.stdout.close()


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*PROGRAM, "--port", port], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


@pytest.mark.parametrize(
    "wrong", [["--port", "x"], ["--terminal", "alone"], ["--time-scale", "0"], ["--unknown"]], ids=str
)
def test_wrong_usage_is_exit_code_2(wrong: list[str]) -> None:
    assert subprocess.run([*PROGRAM, *wrong], capture_output=True, timeout=60).returncode == 2
