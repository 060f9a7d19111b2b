"""`coffee-cloud backup`, `restore`, `restored`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from cloud.backup import programs
from cloud.backup.archive import BackupError, Manifest
from cloud.starting import BAD, ready_made, settings_of_environ
from cloud.wiring import build

CHECKED = "It is whole, and this program restores its kind and revision. Into this database it was not tried."
TAKE_AWAY = """\
Everybody is logged out of the console. But what was taken away since the backup is back:
  passwords of machines enrolled since    coffee-cloud enroll DEVICE_UUID
  machines that were revoked              coffee-cloud revoke DEVICE_UUID
  people who were disabled                coffee-cloud user disable EMAIL
  passwords and second factors            coffee-cloud user reset EMAIL --second-factor
  machines and drinks that were closed    coffee-cloud close DEVICE_UUID --by NAME --reason WHY
  rollouts that were stopped              coffee-cloud release stop
  what was erased for a buyer             coffee-cloud forget ORDER_ID --by NAME --reason WHY
  roles, rules of alerts and channels     the console's pages, once web is there
Take it away again first (docs/operations.md). Then start web and worker, and watch at-risk."""


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (backup, restore, restored):
        main.add_command(command)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write the whole database, as it is now, into FILE. Programs go on working meanwhile."""
    cloud = build(settings_of_environ())
    try:
        manifest = programs.back_up(cloud, file)
    except BackupError as error:
        _fail(f"no backup: {error}")
    finally:
        cloud.close()
    click.echo(f"{file}: {_words(manifest)}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="also where the database is not empty; what it holds is gone")
@click.option(
    "--check", "only_checks", is_flag=True, help="read FILE to its end and say whether it is whole, change nothing"
)
def restore(file: Path, replace: bool, only_checks: bool) -> None:
    """Put the database back to FILE. Stop web and worker first; then start them: what was paid since comes back."""
    cloud = build(settings_of_environ())
    try:
        manifest = programs.look_into(cloud, file) if only_checks else programs.restore(cloud, file, replaces=replace)
    except BackupError as error:
        _fail(f"not restored: {error}")
    finally:
        cloud.close()
    click.echo(f"{file}: {_words(manifest)}")
    click.echo(CHECKED if only_checks else f"Restored.\n{TAKE_AWAY}")


@click.command()
@click.option(
    "--as-of", required=True, type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]),
    help="when the state was taken that the database is in now (UTC); rather too early than too late",
)  # fmt: skip
def restored(as_of: datetime) -> None:
    """Tell that the database was put back by other means, a volume's snapshot say, while web and worker are stopped."""
    cloud = ready_made(settings_of_environ())
    try:
        programs.note_snapshot(cloud, as_of.replace(tzinfo=UTC))
    except BackupError as error:
        _fail(f"not noted: {error}")
    finally:
        cloud.close()
    click.echo(f"Noted.\n{TAKE_AWAY}")


def _words(manifest: Manifest) -> str:
    moment = f"{manifest.as_of:%Y-%m-%d %H:%M:%S} UTC"
    return f"{manifest.kind}, revision {manifest.revision}, as of {moment}, {manifest.size} bytes, {manifest.sha256}"


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
