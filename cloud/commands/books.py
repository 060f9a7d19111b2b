"""`coffee-cloud reconcile`, `at-risk`, `settle`: is every rouble where it should be?"""

import sys
import time

import click

from cloud.operators import at_risk_report, reconcile_report
from cloud.orders.at_risk import WAITS_FOR_PERSON, each_at_risk, summed
from cloud.orders.restores import what_is_lacking
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.differences import open_differences
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.reconcile.store import AlreadyClosed, settle_by_hand
from cloud.starting import BAD, open_cloud


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (reconcile_command, at_risk_command, settle):
        main.add_command(command)


@click.command(name="reconcile")
@click.option("--day", default="yesterday", show_default=True, help="2026-03-31, today or yesterday, by Moscow's clock")
@click.option("--merchant", help="only this merchant's shops and machines")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def reconcile_command(day: str, merchant: str | None, as_json: bool) -> None:
    """Compare a day of every shop with our ledger, and of every machine with its counters; name every difference."""
    cloud = open_cloud()
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


@click.command(name="at-risk")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def at_risk_command(as_json: bool) -> None:
    """Money taken or held and neither poured nor returned: how much, how old, what happens next."""
    cloud = open_cloud()
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


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--by", required=True, help="who has looked; stays with the finding")
@click.option("--reason", required=True, help="what it was; stays with the finding")
def settle(number: int, by: str, reason: str) -> None:
    """Close difference NUMBER of the reconciliation: a person has looked, and it will not open again."""
    cloud = open_cloud()
    try:
        is_known = cloud.database.transact(settle_by_hand, number, by, reason, cloud.clock())
    except AlreadyClosed:
        click.echo(f"difference {number} was closed before; nothing is changed", err=True)
        sys.exit(BAD)
    finally:
        cloud.close()
    if not is_known:
        click.echo(f"there is no difference {number}", err=True)
        sys.exit(BAD)
    click.echo(f"Difference {number} is settled.")
