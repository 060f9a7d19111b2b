"""`coffee-simulator tbank`: runs the simulated bank until it is told to stop. Loopback only."""

import argparse

from simulator.shell.command import add_port, add_time_scale, option, serve
from simulator.tbank.server import TBankSimulator
from simulator.tbank.terminals import DEFAULT_TERMINAL, parse_terminal

DEFAULT_PORT = 8091


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, DEFAULT_PORT)
    parser.add_argument(
        "--terminal",
        type=option(parse_terminal),
        action="append",
        metavar="KEY:PASSWORD",
        help=f"a terminal and its password, repeatable (default: {DEFAULT_TERMINAL.key}:{DEFAULT_TERMINAL.password})",
    )
    parser.add_argument(
        "--webhook", metavar="URL", help="where notifications go whose payment names no address (default: nowhere)"
    )
    add_time_scale(parser)
    parser.add_argument("--public-url", metavar="URL", help="the address buyers see in PaymentURL (default: our own)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""

    def build() -> TBankSimulator:
        return TBankSimulator(
            port=args.port,
            terminals=args.terminal or [DEFAULT_TERMINAL],
            webhook_url=args.webhook,
            time_scale=args.time_scale,
            public_url=args.public_url,
        )

    return serve(build, args.port, lambda simulator: (
        f"T-Bank simulator, no money moves. API: {simulator.url}",
        f"Control: {simulator.address}/sim/books",
    ))  # fmt: skip
