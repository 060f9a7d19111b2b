"""Running one simulated service from the command line until it is told to stop. Loopback only."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from simulator.shell.service import Service

Running = TypeVar("Running", bound=Service)
Option = TypeVar("Option")


def add_port(parser: argparse.ArgumentParser, default: int) -> None:
    """`--port`."""
    parser.add_argument("--port", type=_port, default=default, help="0 takes a free one (default: %(default)s)")


def add_time_scale(parser: argparse.ArgumentParser) -> None:
    """`--time-scale`."""
    parser.add_argument(
        "--time-scale", type=_scale, default=1.0, metavar="FACTOR",
        help="multiplies every duration of the provider's rules: 0.01 makes its hour 36 s (default: %(default)s)",
    )  # fmt: skip


def option(parse: Callable[[str], Option]) -> Callable[[str], Option]:
    """A type for argparse out of a parser that raises ValueError with a sentence for the user."""

    def parsed(text: str) -> Option:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def serve(build: Callable[[], Running], port: int, says: Callable[[Running], Sequence[str]]) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        service = build()
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{port}: {error.strerror}", file=sys.stderr)
        return 1
    with service:
        print("\n".join(says(service)), flush=True)
        stop.wait()
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1000:
        raise argparse.ArgumentTypeError(f"a time scale is a number above 0, at most 1000, not {text!r}")
    return scale
