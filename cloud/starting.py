"""How every command of `coffee-cloud` starts: settings from the environment, a database this program understands."""

import logging
import os
import sys
import time
from pathlib import Path

import click
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cloud import log
from cloud.migrations import migrate
from cloud.orders.after_restore import begin_restores
from cloud.settings import Settings, SettingsError, read_credentials, read_dotenv
from cloud.wiring import Cloud, build

logger = logging.getLogger("cloud.cli")

BAD = 1
WRONG_USAGE = 2
AWAY_LOOK_S = 2.0


def environ() -> dict[str, str]:
    """The environment, with what systemd's credentials and .env in this folder add. Raises `SettingsError`."""
    found = dict(os.environ)
    read_credentials(found)
    read_dotenv(Path.cwd(), found)
    return found


def settings_of_environ() -> Settings:
    """The settings; what is wrong with them ends the program."""
    try:
        found = Settings.from_env(environ())
    except SettingsError as error:
        click.echo(f"Settings are wrong:\n{error}", err=True)
        sys.exit(WRONG_USAGE)
    log.start(found.log)
    return found


def open_cloud() -> Cloud:
    """`ready_made` by the environment's settings."""
    return ready_made(settings_of_environ())


def ready_made(settings: Settings) -> Cloud:
    """The cloud on a database of this version; a SQLite file is brought to it, a server's database never by itself."""
    cloud = build(settings)
    try:
        wrong = _wrong_with(cloud)
    except SQLAlchemyError as error:
        wrong = [f"the database does not answer ({type(error).__name__}): COFFEE_DATABASE_URL"]
    if wrong:
        click.echo("\n".join(wrong), err=True)
        sys.exit(BAD)
    return cloud


def ready_made_in_time(settings: Settings) -> Cloud:
    """`ready_made` for a program that stays: while its database is away it waits, and says so.

    What was open when the database was restored is marked before anything works on it.
    """
    cloud = build(settings)
    has_waited = False
    while True:
        try:
            cloud.database.set_clock()
        except OperationalError as error:
            said = (str(error.orig).strip().splitlines() or [""])[-1].strip()
            logger.error("the database does not answer, waiting for it: COFFEE_DATABASE_URL (%s)", said)
            has_waited = True
            time.sleep(AWAY_LOOK_S)
            continue
        if has_waited:
            logger.info("the database answers")
        cloud.close()
        cloud = ready_made(settings)
        while not cloud.database.transact(begin_restores, cloud.rules, cloud.clock()):
            pass
        return cloud


def _wrong_with(cloud: Cloud) -> list[str]:
    """Raises what the database raises."""
    if cloud.database.is_sqlite:
        migrate.upgrade(cloud.database)
    cloud.database.set_clock()
    return migrate.check(cloud.database)
