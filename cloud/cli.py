"""`coffee-cloud` on the command line. Exit codes: 0 good, 1 it ran and the answer is bad, 2 wrong usage or settings.

Each command's module is imported when the command is asked for: a program starts with what it needs.
"""

from importlib import import_module

import click

from cloud import __version__
from cloud.processes.gc_tuning import while_importing

COMMANDS = {
    "alerts": "cloud.commands.alerts",
    "apply": "cloud.commands.fleet",
    "approve": "cloud.commands.orders",
    "archive": "cloud.commands.database",
    "at-risk": "cloud.commands.books",
    "backup": "cloud.backup.commands",
    "broker-file": "cloud.commands.broker",
    "broker-password": "cloud.commands.broker",
    "check": "cloud.commands.check",
    "close": "cloud.commands.machines",
    "decline": "cloud.commands.orders",
    "enroll": "cloud.commands.enrol",
    "events": "cloud.commands.fleet",
    "evidence": "cloud.commands.orders",
    "forget": "cloud.commands.orders",
    "jobs": "cloud.commands.machines",
    "journal": "cloud.commands.users",
    "keep": "cloud.commands.orders",
    "migrate": "cloud.commands.database",
    "open": "cloud.commands.machines",
    "pour": "cloud.commands.orders",
    "qr-key": "cloud.commands.fleet",
    "reconcile": "cloud.commands.books",
    "rekey": "cloud.commands.fleet",
    "release": "cloud.commands.releases",
    "restart": "cloud.commands.machines",
    "restore": "cloud.backup.commands",
    "restored": "cloud.backup.commands",
    "resume": "cloud.commands.machines",
    "return": "cloud.commands.orders",
    "returns": "cloud.commands.orders",
    "revoke": "cloud.commands.enrol",
    "rinse": "cloud.commands.machines",
    "run": "cloud.commands.serving",
    "settings": "cloud.commands.machines",
    "settle": "cloud.commands.books",
    "test-cup": "cloud.commands.machines",
    "trace": "cloud.commands.trace",
    "user": "cloud.commands.users",
    "web": "cloud.commands.serving",
    "worker": "cloud.commands.worker",
}
"""The module whose `add_to` brings the command."""


class Commands(click.Group):
    """A group that imports its commands one by one, as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now if it was not before."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            with while_importing():
                import_module(COMMANDS[cmd_name]).add_to(self)
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coffee-cloud")
def main() -> None:
    """The cloud of Coffee Relay. Settings come from the environment (COFFEE_...) and from .env in this folder."""
