"""`coffee-simulator tmetr`: runs the simulated Tmetr API until it is told to stop. Loopback only."""

import argparse
import signal
import threading
from types import FrameType

from protocol.reasons import Size
from simulator.machine import STANDARD_MENU
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
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
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
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    machines = [standard_machine(name) for name in args.machine or ["m-001"]]
    try:
        simulator = TmetrSimulator(machines, port=args.port, token=args.token)
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{args.port}: {error.strerror}")
        return 1
    with simulator:
        print(f"Tmetr simulator, no coffee is poured. API: {simulator.url}", flush=True)
        print(f"Control: {simulator.url}/sim/cups", flush=True)
        stop.wait()
    return 0


def standard_machine(device_id: str) -> Machine:
    """A machine that sells the standard menu."""
    prices = {
        drink.drink_no: (drink.price(Size.SMALL), drink.price(Size.MEDIUM), drink.price(Size.LARGE))
        for drink in STANDARD_MENU.values()
    }
    return Machine(device_id, dict(prices))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)
