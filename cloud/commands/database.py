"""`coffee-cloud migrate`."""

import click

from cloud.migrations import migrate
from cloud.starting import settings_of_environ
from cloud.wiring import build


def add_to(main: click.Group) -> None:
    """Add the command."""
    main.add_command(migrate_command)


@click.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version. Running it again does nothing."""
    cloud = build(settings_of_environ())
    migrate.upgrade(cloud.database)
    cloud.close()
    click.echo("The database is up to date.")
