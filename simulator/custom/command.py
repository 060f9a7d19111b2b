"""`coffee-simulator custom`: runs the simulated merchant until it is told to stop. Loopback only."""

import argparse

from simulator.custom.server import CustomSimulator
from simulator.shell.command import add_port, serve

DEFAULT_PORT = 8092


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--account", default="custom-shop", help="the agreed account_id (default: %(default)s)")
    parser.add_argument("--secret", required=True, help="the agreed secret_key")
    parser.add_argument("--callback", default="", metavar="URL", help="where callbacks go (default: nowhere)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""

    def build() -> CustomSimulator:
        return CustomSimulator(args.account, args.secret, args.callback, port=args.port)

    return serve(build, args.port, lambda simulator: (
        f"a merchant's own payment page, no money moves: {simulator.address}/page",
        f"status {simulator.address}/status, action {simulator.address}/action",
    ))  # fmt: skip
