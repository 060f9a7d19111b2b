"""`coffee-cloud` on the command line. Exit codes: 0 good, 1 it ran and the answer is bad, 2 wrong usage or settings."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import click
from sqlalchemy.exc import SQLAlchemyError

from cloud import __version__, log, migrate
from cloud.checkup import checkup
from cloud.fleet.apply import apply as apply_fleet
from cloud.fleet.apply import format_report
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.vault import Vault
from cloud.settings import Settings, SettingsError, read_dotenv
from cloud.wiring import Cloud, build

BAD = 1
WRONG_USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coffee-cloud")
def main() -> None:
    """The cloud of Coffee Relay. Settings come from the environment (COFFEE_...) and from .env in this folder."""


def _environ() -> dict[str, str]:
    environ = dict(os.environ)
    read_dotenv(Path.cwd(), environ)
    return environ


def _settings() -> Settings:
    try:
        settings = Settings.from_env(_environ())
    except SettingsError as error:
        click.echo(f"Settings are wrong:\n{error}", err=True)
        sys.exit(WRONG_USAGE)
    log.start(settings.log)
    return settings


def _ready_made(settings: Settings) -> Cloud:
    """The cloud on a database of this version; a SQLite file is brought to it, a server's database never by itself."""
    cloud = build(settings)
    try:
        if cloud.database.is_sqlite:
            migrate.upgrade(cloud.database)
        wrong = migrate.check(cloud.database)
    except SQLAlchemyError as error:
        wrong = [f"the database does not answer ({type(error).__name__}): COFFEE_DATABASE_URL"]
    if wrong:
        click.echo("\n".join(wrong), err=True)
        sys.exit(BAD)
    return cloud


@main.command()
@click.option("--processes", default=1, show_default=True, help="how many serve the port together")
def web(processes: int) -> None:
    """HTTP only. Run `worker` beside it."""
    from cloud.server import Gunicorn  # gunicorn is not needed by any other command

    settings = _settings()
    _ready_made(settings).close()
    Gunicorn(settings, processes).run()


@main.command()
def worker() -> None:
    """Everything in the background: payments, the broker, deadlines. No HTTP."""
    from cloud.watch import Watch
    from cloud.worker import Worker

    cloud = _ready_made(_settings())
    watch, work = Watch(cloud.database), Worker(cloud)
    watch.start()
    work.start()
    _wait_for_the_end()
    work.stop()
    watch.stop()
    cloud.close()


@main.command()
def run() -> None:
    """Web and worker in one process, for one machine. Migrates a SQLite database by itself."""
    from cloud.server import Gunicorn

    settings = _settings()
    _ready_made(settings).close()
    click.echo(f"coffee-cloud serves http://{settings.bind}, with the background work. Ctrl-C ends it.")
    Gunicorn(settings, with_worker=True).run()


@main.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version. Running it again does nothing."""
    cloud = build(_settings())
    migrate.upgrade(cloud.database)
    cloud.close()
    click.echo("The database is up to date.")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="say what would change, change nothing")
def apply(file: Path, dry_run: bool) -> None:
    """Bring merchants, machines, drinks and prices to what FILE (TOML) says."""
    settings = _settings()
    cloud = _ready_made(settings)
    try:
        vault = Vault(settings.secret_key, settings.old_secret_keys)
        report = apply_fleet(cloud.database, vault, file, _environ(), dry_run)
    except FleetFileError as error:
        click.echo(str(error), err=True)
        sys.exit(BAD)
    finally:
        cloud.close()
    click.echo(format_report(report))


@main.command()
def check() -> None:
    """Try the settings and every connection; say what is wrong in plain words."""
    findings = checkup(_settings())
    for finding in findings:
        click.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.words}")
    sys.exit(0 if all(finding.good for finding in findings) else BAD)


def _wait_for_the_end() -> None:
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    ended.wait()
