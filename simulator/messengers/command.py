"""`coffee-simulator messengers`: runs the simulated messengers until they are told to stop. Loopback only."""

import argparse

from simulator.messengers.server import DEFAULT_TOKEN, Messengers
from simulator.shell.command import add_port, serve

DEFAULT_PORT = 8093


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A port."""
    add_port(parser, DEFAULT_PORT)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then 0; 1 when the port cannot be had."""
    return serve(lambda: Messengers(port=args.port), args.port, lambda simulator: (
        f"Simulated messengers, nobody is told anything: {simulator.address}",
        f"COFFEE_TELEGRAM_URL={simulator.address} COFFEE_TELEGRAM_TOKEN={DEFAULT_TOKEN}",
        f"COFFEE_MAX_URL={simulator.address}/max COFFEE_MAX_TOKEN={DEFAULT_TOKEN}",
        f"COFFEE_SMTP_URL={simulator.mailbox.url} COFFEE_ALERTS_FROM=alerts@example.org",
    ))  # fmt: skip
