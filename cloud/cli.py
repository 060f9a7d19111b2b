"""`coffee-cloud` on the command line. Exit codes: 0 good, 1 it ran and the answer is bad, 2 wrong usage or settings."""

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import click

from cloud import __version__
from cloud.backup.commands import backup, restore, restored
from cloud.commands import alerts, broker, enrol, machines, orders, releases, trace, users
from cloud.fleet.apply import apply as apply_fleet
from cloud.fleet.apply import format_report
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.machine_events import KEPT_EACH, latest
from cloud.fleet.models import Device
from cloud.fleet.qr_key import QrKeys
from cloud.fleet.vault import Vault
from cloud.migrations import migrate
from cloud.operators import at_risk_report, events_report
from cloud.operators import reconcile_report as reconcile_report
from cloud.operators.check import checkup, receipt_warnings
from cloud.operators.rekey import rekey
from cloud.orders.at_risk import WAITS_FOR_PERSON, each_at_risk, summed, unsettled
from cloud.orders.restores import what_is_lacking
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.differences import open_differences
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.reconcile.store import settle_by_hand
from cloud.processes.gc_tuning import spare_what_stays
from cloud.starting import BAD
from cloud.starting import environ as _environ
from cloud.starting import ready_made as _ready_made
from cloud.starting import ready_made_in_time as _ready_made_in_time
from cloud.starting import settings_of_environ as _settings
from cloud.wiring import build


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coffee-cloud")
def main() -> None:
    """The cloud of Coffee Relay. Settings come from the environment (COFFEE_...) and from .env in this folder."""


for of_backup in (backup, restore, restored):
    main.add_command(of_backup)


@main.command()
@click.option("--processes", default=1, show_default=True, help="how many serve the port together")
def web(processes: int) -> None:
    """HTTP only. Run `worker` beside it."""
    from cloud.processes.server import Gunicorn  # gunicorn is not needed by any other command

    settings = _settings()
    _ready_made_in_time(settings).close()
    Gunicorn(settings, processes).run()


@main.command()
def worker() -> None:
    """Everything in the background: payments, the broker, deadlines. No HTTP."""
    from cloud.database.listen import ChangeListener
    from cloud.processes.worker import Worker

    cloud = _ready_made_in_time(_settings())
    watch, work = ChangeListener(cloud.database), Worker(cloud)
    watch.start()
    work.start()
    spare_what_stays()
    _wait_for_the_end()
    work.stop()
    watch.stop()
    cloud.close()


@main.command()
def run() -> None:
    """Web and worker in one process, for one machine. Migrates a SQLite database by itself."""
    from cloud.processes.server import Gunicorn

    settings = _settings()
    _ready_made_in_time(settings).close()
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
@click.option("--take-file", "by_hand", flag_value="take-file", help="where the console says another thing")
@click.option("--keep-console", "by_hand", flag_value="keep-console", help="what was edited there stays")
def apply(file: Path, dry_run: bool, by_hand: str | None) -> None:
    """Bring merchants, machines, drinks and prices to what FILE (TOML) says.

    What somebody has edited in the console and FILE says otherwise is named and refused: choose which of them counts.
    """
    settings = _settings()
    cloud = _ready_made(settings)
    try:
        vault = Vault(settings.secret_key, settings.old_secret_keys)
        report = apply_fleet(
            cloud.database, vault, file, _environ(), dry_run, unsettled, ByHand(by_hand or ByHand.REFUSE)
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


@main.command(name="rekey")
def rekey_command() -> None:
    """Lock every stored secret with the present COFFEE_SECRET_KEY, so that an old key can be taken away."""
    settings = _settings()
    cloud = _ready_made(settings)
    try:
        done = rekey(cloud.database, Vault(settings.secret_key, settings.old_secret_keys))
    finally:
        cloud.close()
    click.echo(done.words())
    sys.exit(BAD if done.unreadable else 0)


@main.command(name="qr-key")
@click.argument("device_uuid")
@click.option("--version", type=click.IntRange(1), help="of another qr_key_version than the device has now")
def qr_key(device_uuid: str, version: int | None) -> None:
    """Print the key DEVICE_UUID signs its QR codes with (docs/qr-codes.md). It is a secret."""
    settings = _settings()
    cloud = _ready_made(settings)
    try:
        with cloud.database.read() as session:
            device = session.get(Device, device_uuid)
    finally:
        cloud.close()
    if device is None:
        click.echo(f"there is no device {device_uuid}", err=True)
        sys.exit(BAD)
    click.echo(QrKeys(settings.secret_key).of(device_uuid, version or device.qr_key_version).hex())


@main.command()
def check() -> None:
    """Try the settings and every connection; say what is wrong in plain words."""
    findings = checkup(_settings())
    for finding in findings:
        click.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.words}")
    sys.exit(0 if all(finding.good for finding in findings) else BAD)


@main.command(name="reconcile")
@click.option("--day", default="yesterday", show_default=True, help="2026-03-31, today or yesterday, by Moscow's clock")
@click.option("--merchant", help="only this merchant's shops and machines")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def reconcile_command(day: str, merchant: str | None, as_json: bool) -> None:
    """Compare a day of every shop with our ledger, and of every machine with its counters; name every difference."""
    cloud = _ready_made(_settings())
    try:
        chosen = Day.named(day, cloud.clock())
        reconciler = Reconciler(cloud.database, cloud.clients, cloud.clock, time.sleep)
        reports = [reconciler.reconcile(key, chosen) for key in reconciler.keys(chosen, merchant)]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--day") from error
    finally:
        cloud.close()
    if merchant and not reports:
        raise click.BadParameter(f"{merchant} has neither a shop nor a machine", param_hint="--merchant")
    click.echo(reconcile_report.as_json(chosen, reports) if as_json else reconcile_report.as_text(chosen, reports))
    sys.exit(0 if all(report.is_clean for report in reports) else BAD)


@main.command(name="at-risk")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def at_risk_command(as_json: bool) -> None:
    """Money taken or held and neither poured nor returned: how much, how old, what happens next."""
    cloud = _ready_made(_settings())
    try:
        now, unreadable = cloud.clock(), cloud.clients.unreadable()
        with cloud.database.read() as session:
            each = each_at_risk(session, now, unreadable=unreadable)
            found, lacking = open_differences(session, each), what_is_lacking(session)
    finally:
        cloud.close()
    sums = summed([*each, *found], now)
    tell = at_risk_report.as_json if as_json else at_risk_report.as_text
    click.echo(tell(sums, each, found, lacking))
    sys.exit(BAD if lacking or any(risk.action in WAITS_FOR_PERSON for risk in sums) else 0)


@main.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--by", required=True, help="who has looked; stays with the finding")
@click.option("--reason", required=True, help="what it was; stays with the finding")
def settle(number: int, by: str, reason: str) -> None:
    """Close difference NUMBER of the reconciliation: a person has looked, and it will not open again."""
    cloud = _ready_made(_settings())
    try:
        is_known = cloud.database.transact(settle_by_hand, number, by, reason, cloud.clock())
    finally:
        cloud.close()
    if not is_known:
        click.echo(f"there is no difference {number}", err=True)
        sys.exit(BAD)
    click.echo(f"Difference {number} is settled.")


@main.command()
@click.argument("device_uuid")
@click.option("--limit", type=click.IntRange(1, KEPT_EACH), default=50, show_default=True, help="only the newest")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def events(device_uuid: str, limit: int, as_json: bool) -> None:
    """What DEVICE_UUID told of itself besides drinks: faults, restarts, its line, why it does not sell."""
    cloud = _ready_made(_settings())
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


def _wait_for_the_end() -> None:
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    ended.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait for providers


broker.add_to(main, lambda: _settings())
for subject in (alerts, enrol, machines, orders, releases, users, trace):
    subject.add_to(main, lambda: _ready_made(_settings()))
