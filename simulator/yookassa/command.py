"""`coffee-simulator yookassa`: runs the simulated provider until it is told to stop. Loopback only."""

import argparse
import signal
import threading
from dataclasses import replace
from types import FrameType

from simulator.yookassa.server import YooKassaSimulator
from simulator.yookassa.shops import DEFAULT_SHOP, Shop, parse_shop

DEFAULT_PORT = 8090


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--shop",
        type=_shop,
        action="append",
        metavar="ID:SECRET",
        help="a shop and its key, repeatable (default: 100500:test_secret)",
    )
    parser.add_argument(
        "--receipts", action="store_true", help="the shops send fiscal receipts (54-FZ): each payment must carry one"
    )
    parser.add_argument("--webhook", metavar="URL", help="where notifications go (default: nowhere)")
    parser.add_argument(
        "--time-scale",
        type=_scale,
        default=1.0,
        metavar="FACTOR",
        help="multiplies every duration of the provider's rules: 0.01 makes its hour 36 s (default: %(default)s)",
    )
    parser.add_argument(
        "--public-url", metavar="URL", help="the address buyers see in confirmation_url (default: our own)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        simulator = YooKassaSimulator(
            port=args.port,
            shops=[replace(shop, fiscalization=args.receipts) for shop in args.shop or [DEFAULT_SHOP]],
            webhook_url=args.webhook,
            time_scale=args.time_scale,
            public_url=args.public_url,
        )
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{args.port}: {error.strerror}")
        return 1
    with simulator:
        print(f"YooKassa simulator, no money moves. API: {simulator.url}", flush=True)
        print(f"Control: {simulator.address}/sim/books", flush=True)
        stop.wait()
    return 0


def _shop(text: str) -> Shop:
    try:
        return parse_shop(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
