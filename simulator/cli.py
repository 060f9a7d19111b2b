"""`coffee-simulator` on the command line. Exit codes: 0 good, 1 it ran and the answer is bad, 2 wrong usage."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from simulator.broker import command as broker
from simulator.custom import command as custom
from simulator.demo import command as demo
from simulator.machine import command as machine
from simulator.messengers import command as messengers
from simulator.tbank import command as tbank
from simulator.tmetr import command as tmetr
from simulator.yookassa import command as yookassa

COMMANDS = {
    "demo": (demo, "one coffee on one machine: everything, for a browser or (--once) without a person"),
    "machine": (machine, "a coffee machine on a pseudo-terminal, with a front panel in the browser"),
    "yookassa": (yookassa, "the payment provider over HTTP; no money moves"),
    "tbank": (tbank, "T-Bank, the second payment provider, over HTTP; no money moves"),
    "tmetr": (tmetr, "the Tmetr API for machines without an agent, over HTTP; counts its cups"),
    "custom": (custom, "a merchant with a payment page of its own; no money moves"),
    "messengers": (messengers, "Telegram, MAX, a mailbox and a program that is called: where alerts go"),
    "broker": (broker, "an MQTT broker for development, loopback only"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the simulators."""
    parser = argparse.ArgumentParser(prog="coffee-simulator", description="The other ends of Coffee Relay's wires.")
    parser.add_argument("--version", action="version", version=f"coffee-simulator {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (command, says) in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=says, description=says))
    chosen = parser.parse_args(arguments)
    return int(COMMANDS[chosen.command][0].run(chosen))


def _version() -> str:
    try:
        return version("coffee-relay")
    except PackageNotFoundError:
        return "0"


if __name__ == "__main__":
    sys.exit(main())
