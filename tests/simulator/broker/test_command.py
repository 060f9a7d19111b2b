"""`coffee-simulator broker`, as a program of its own."""

import argparse
import signal
import sys
from pathlib import Path

import pytest

from simulator.broker import Broker, command
from tests.programs import Program
from tests.simulator.broker.conftest import Clients

_PROGRAM = """
import argparse, sys
from simulator.broker import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))
"""
_ROOT = Path(__file__).parents[3]


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.parametrize("farewell", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_serves_and_ends_when_told(
    tmp_path: Path, clients: Clients, farewell: signal.Signals
) -> None:
    argv = [sys.executable, "-c", _PROGRAM, "--port", "0"]
    with Program(argv, log=tmp_path / "broker.log", cwd=_ROOT, farewell=farewell) as program:
        program.wait_until_ready(lambda: "mqtt://127.0.0.1:" in program.output)
        port = int(program.output.strip().rpartition(":")[2])
        client = clients(port)
        client.subscribe("a")
        client.publish("a", "served")
        client.expect("served")
        assert program.stop() == 0
        assert "Traceback" not in program.output


def test_another_address_than_loopback_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--host", "0.0.0.0") == 2
    assert "loopback" in capsys.readouterr().err


def test_a_taken_port_is_a_bad_answer(development_broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--port", str(development_broker.port)) == 1
    assert str(development_broker.port) in capsys.readouterr().err
