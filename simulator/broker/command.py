"""`coffee-simulator broker`: the development broker on a port of this machine, until it is told to stop."""

import argparse
import signal
import sys
import threading

from simulator.broker.server import Broker, NotLoopback

_DEFAULT_PORT = 1883


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, default=_DEFAULT_PORT, help=f"{_DEFAULT_PORT} by default; 0 takes a free one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM: 0. 1 when the port cannot be had, 2 when the address is not loopback."""
    try:
        broker = Broker(args.port, host=args.host)
    except NotLoopback as error:
        print(error, file=sys.stderr)
        return 2
    told_to_stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told_to_stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with broker:
            print(f"MQTT broker for development: {broker.url}", flush=True)
            told_to_stop.wait()
    except (OSError, OverflowError) as error:
        print(f"cannot listen on port {args.port}: {error}", file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
