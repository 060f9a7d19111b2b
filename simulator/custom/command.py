"""`coffee-simulator custom`: runs the simulated merchant until it is told to stop. Loopback only."""

import argparse
import signal
import sys
import threading

from simulator.custom.server import CustomSimulator

DEFAULT_PORT = 8092


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--account", default="custom-shop", help="the agreed account_id (default: %(default)s)")
    parser.add_argument("--secret", required=True, help="the agreed secret_key")
    parser.add_argument("--callback", default="", metavar="URL", help="where callbacks go (default: nowhere)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        simulator = CustomSimulator(args.account, args.secret, args.callback, port=args.port)
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{args.port}: {error.strerror}", file=sys.stderr)
        return 1
    with simulator:
        print(f"a merchant's own payment page, no money moves: {simulator.address}/page", flush=True)
        print(f"status {simulator.address}/status, action {simulator.address}/action", flush=True)
        stop.wait()
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)
