"""`coffee-cloud apply`, `rekey`, `qr-key`, `events`: merchants and machines as files, keys and what was told."""

import sys
from pathlib import Path

import click

from cloud.courier.broker_address import own_names
from cloud.fleet.apply import apply as apply_fleet
from cloud.fleet.apply import format_report
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.machine_events import KEPT_EACH, latest
from cloud.fleet.models import Device
from cloud.fleet.qr_key import QrKeys
from cloud.fleet.vault import Vault
from cloud.operators import events_report
from cloud.operators.check import receipt_warnings
from cloud.operators.rekey import rekey
from cloud.orders.at_risk import unsettled
from cloud.starting import BAD, environ, open_cloud, ready_made, settings_of_environ


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (apply, rekey_command, qr_key, events):
        main.add_command(command)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="say what would change, change nothing")
@click.option("--take-file", "by_hand", flag_value="take-file", help="where the console says another thing")
@click.option("--keep-console", "by_hand", flag_value="keep-console", help="what was edited there stays")
def apply(file: Path, dry_run: bool, by_hand: str | None) -> None:
    """Bring merchants, machines, drinks and prices to what FILE (TOML) says.

    What somebody has edited in the console and FILE says otherwise is named and refused: choose which of them counts.
    """
    settings = settings_of_environ()
    cloud = ready_made(settings)
    try:
        vault = Vault(settings.secret_key, settings.old_secret_keys)
        reserved = own_names(settings.mqtt_url, settings.mqtt_user)
        report = apply_fleet(
            cloud.database, vault, file, environ(), dry_run, unsettled, ByHand(by_hand or ByHand.REFUSE), reserved
        )
        warnings = [] if dry_run else receipt_warnings(cloud)
    except FleetFileError as error:
        click.echo(str(error), err=True)
        sys.exit(BAD)
    finally:
        cloud.close()
    click.echo(format_report(report))
    for warning in warnings:
        click.echo(f"warning: {warning}")


@click.command(name="rekey")
def rekey_command() -> None:
    """Lock every stored secret with the present COFFEE_SECRET_KEY, so that an old key can be taken away."""
    settings = settings_of_environ()
    cloud = ready_made(settings)
    try:
        done = rekey(cloud.database, Vault(settings.secret_key, settings.old_secret_keys))
    finally:
        cloud.close()
    click.echo(done.words())
    sys.exit(BAD if done.unreadable else 0)


@click.command(name="qr-key")
@click.argument("device_uuid")
@click.option("--version", type=click.IntRange(1), help="of another qr_key_version than the device has now")
def qr_key(device_uuid: str, version: int | None) -> None:
    """Print the key DEVICE_UUID signs its QR codes with (docs/qr-codes.md). It is a secret."""
    settings = settings_of_environ()
    cloud = ready_made(settings)
    try:
        with cloud.database.read() as session:
            device = session.get(Device, device_uuid)
    finally:
        cloud.close()
    if device is None:
        click.echo(f"there is no device {device_uuid}", err=True)
        sys.exit(BAD)
    click.echo(QrKeys(settings.secret_key).of(device_uuid, version or device.qr_key_version).hex())


@click.command()
@click.argument("device_uuid")
@click.option("--limit", type=click.IntRange(1, KEPT_EACH), default=50, show_default=True, help="only the newest")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def events(device_uuid: str, limit: int, as_json: bool) -> None:
    """What DEVICE_UUID told of itself besides drinks: faults, restarts, its line, why it does not sell."""
    cloud = open_cloud()
    try:
        with cloud.database.read() as session:
            is_known = session.get(Device, device_uuid) is not None
            told = latest(session, device_uuid, limit)
    finally:
        cloud.close()
    if not is_known:
        click.echo(f"there is no device {device_uuid}", err=True)
        sys.exit(BAD)
    click.echo(events_report.as_json(told) if as_json else events_report.as_text(told))
