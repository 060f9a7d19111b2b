"""`coffee-simulator tmetr`: runs the simulated Tmetr API until it is told to stop. Loopback only."""

import argparse

from protocol.reasons import Size
from simulator.machine import STANDARD_MENU
from simulator.shell.command import add_port, serve
from simulator.tmetr.faults import FaultKind
from simulator.tmetr.machines import Machine
from simulator.tmetr.server import DEFAULT_TOKEN, TmetrSimulator

DEFAULT_PORT = 8091


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"""\
Control API (JSON), under /sim:
  GET  /cups                     every cup really poured (?order=ID: of one order)
  GET  /calls                    what was asked, and the status answered
  PUT  /machines/ID              {{"online": false}} or {{"deaf": true}}: takes commands, pours nothing
  PUT  /machines/ID/price        {{"drink": "latte", "size": "BIG", "price": 23900}}; null stops selling it
  POST /faults                   {{"kind": KIND, "endpoint": "make", "after_act": true, "times": 1, "seconds": 30}}
  POST /clock                    {{"advance": 60}}
Fault kinds: {", ".join(FaultKind)}"""
    add_port(parser, DEFAULT_PORT)
    parser.add_argument(
        "--token", default=DEFAULT_TOKEN, metavar="TEXT", help="the only one accepted (default: %(default)s)"
    )
    parser.add_argument(
        "--machine",
        action="append",
        metavar="ID",
        help="a machine with the standard menu, repeatable (default: m-001)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""
    machines = [standard_machine(name) for name in args.machine or ["m-001"]]
    return serve(lambda: TmetrSimulator(machines, port=args.port, token=args.token), args.port, lambda simulator: (
        f"Tmetr simulator, no coffee is poured. API: {simulator.url}",
        f"Control: {simulator.url}/sim/cups",
    ))  # fmt: skip


def standard_machine(device_id: str) -> Machine:
    """A machine that sells the standard menu."""
    prices = {
        drink.drink_no: (drink.price(Size.SMALL), drink.price(Size.MEDIUM), drink.price(Size.LARGE))
        for drink in STANDARD_MENU.values()
    }
    return Machine(device_id, dict(prices))
