"""`coffee-simulator yookassa`: runs the simulated provider until it is told to stop. Loopback only."""

import argparse
from dataclasses import replace

from simulator.shell.command import add_port, add_time_scale, option, serve
from simulator.yookassa.server import YooKassaSimulator
from simulator.yookassa.shops import DEFAULT_SHOP, parse_shop

DEFAULT_PORT = 8090


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, DEFAULT_PORT)
    parser.add_argument(
        "--shop",
        type=option(parse_shop),
        action="append",
        metavar="ID:SECRET",
        help="a shop and its key, repeatable (default: 100500:test_secret)",
    )
    parser.add_argument(
        "--receipts", action="store_true", help="the shops send fiscal receipts (54-FZ): each payment must carry one"
    )
    parser.add_argument("--webhook", metavar="URL", help="where notifications go (default: nowhere)")
    add_time_scale(parser)
    parser.add_argument(
        "--public-url", metavar="URL", help="the address buyers see in confirmation_url (default: our own)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""

    def build() -> YooKassaSimulator:
        return YooKassaSimulator(
            port=args.port,
            shops=[replace(shop, fiscalization=args.receipts) for shop in args.shop or [DEFAULT_SHOP]],
            webhook_url=args.webhook,
            time_scale=args.time_scale,
            public_url=args.public_url,
        )

    return serve(build, args.port, lambda simulator: (
        f"YooKassa simulator, no money moves. API: {simulator.url}",
        f"Control: {simulator.address}/sim/books",
    ))  # fmt: skip
