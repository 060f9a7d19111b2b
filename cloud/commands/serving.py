"""`coffee-cloud web` and `run`: what answers HTTP."""

import click

from cloud.processes.server import Gunicorn
from cloud.starting import ready_made_in_time, settings_of_environ


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (web, run):
        main.add_command(command)


@click.command()
@click.option("--processes", default=1, show_default=True, help="how many serve the port together")
def web(processes: int) -> None:
    """HTTP only. Run `worker` beside it."""
    settings = settings_of_environ()
    ready_made_in_time(settings).close()
    Gunicorn(settings, processes).run()


@click.command()
def run() -> None:
    """Web and worker in one process, for one machine. Migrates a SQLite database by itself."""
    settings = settings_of_environ()
    ready_made_in_time(settings).close()
    click.echo(f"coffee-cloud serves http://{settings.bind}, with the background work. Ctrl-C ends it.")
    Gunicorn(settings, with_worker=True).run()
