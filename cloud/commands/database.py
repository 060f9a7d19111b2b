"""`coffee-cloud migrate`; `archive`, before going back to a program without one."""

import sys

import click

from cloud.migrations import migrate
from cloud.orders.archiving import bring_back_next
from cloud.starting import BAD, open_cloud, settings_of_environ
from cloud.wiring import build


def add_to(main: click.Group) -> None:
    """Add the commands."""
    main.add_command(migrate_command)
    main.add_command(archive_command)


@click.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version. Running it again does nothing."""
    cloud = build(settings_of_environ())
    migrate.upgrade(cloud.database)
    wrong = migrate.check(cloud.database)
    cloud.close()
    if wrong:
        click.echo("\n".join(wrong), err=True)
        sys.exit(BAD)
    click.echo("The database is up to date.")


@click.command(name="archive")
@click.option("--bring-back", is_flag=True, help="all orders that rest in the archive; killed, it goes on anew")
def archive_command(bring_back: bool) -> None:
    """Empty the archive, before you go back to a program that knows none.

    Raise COFFEE_ARCHIVE_AFTER_DAYS first, and restart the workers: else the orders rest again a day later.
    """
    if not bring_back:
        raise click.UsageError("say --bring-back")
    cloud = open_cloud()
    place: str | None = ""
    brought = 0
    while place is not None:
        place, some = cloud.database.transact(bring_back_next, place, cloud.clock())
        brought += some
    cloud.close()
    click.echo(f"{brought} orders are back.")
