"""`coffee-cloud enroll` and `revoke`: a code that makes a machine somebody at the broker, and the end of that."""

import getpass
import io
import sys

import click
import segno

from cloud.access.journal import CHANGED, Author, Entry, Subject, record
from cloud.courier.enrolment_route import codes_of
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities, enrolment
from cloud.fleet.enrolment import CannotEnrol, Revoked
from cloud.fleet.models import Device
from cloud.starting import open_cloud
from cloud.wiring import Cloud

BAD = 1
STOLEN = """
{device} was revoked. Where machines come in by certificates, those it had are good again once it is enrolled: was one
stolen, begin a new authority first (docs/operations.md, "Certificates of machines")."""
STAYS_IN = """
{device} is not out: a person lets machines in at this broker (COFFEE_BROKER_RIGHTS is not set).
Take its name away there yourself."""


_IDENTITY = {Revoked.OUT: "revoked", Revoked.BY_HAND: "none"}


def add_to(main: click.Group) -> None:
    """Add the commands."""

    @main.command()
    @click.argument("device_uuid")
    def enroll(device_uuid: str) -> None:
        """Print a code by which the agent of DEVICE_UUID gets its settings: good once, for a day."""
        cloud = open_cloud()
        codes = codes_of(cloud.settings)

        def work(tx: Transaction) -> tuple[str, bool]:
            code = codes.begin(tx, device_uuid, cloud.clock())
            _note(tx, cloud, "enrol", device_uuid, {"code": CHANGED})
            return enrolment.spaced(code), broker_identities.is_revoked(tx.session, device_uuid)

        try:
            code, was_revoked = cloud.database.transact(work)
        except CannotEnrol as error:
            click.echo(str(error), err=True)
            sys.exit(BAD)
        finally:
            cloud.close()
        command = enrolment.command(cloud.settings.public_url, code)
        picture = io.StringIO()
        segno.make(command, error="m").terminal(picture, compact=True)
        click.echo(picture.getvalue())
        click.echo(f"{code}   for {device_uuid}, good once, for a day, for {enrolment.TRIES} tries. On the machine:\n")
        click.echo(f"    {command}")
        if was_revoked:
            click.echo(STOLEN.format(device=device_uuid))

    @main.command()
    @click.argument("device_uuid")
    def revoke(device_uuid: str) -> None:
        """Let DEVICE_UUID no more into the broker, and end its connection. It sells again after a new `enroll`."""
        cloud = open_cloud()
        codes = codes_of(cloud.settings)

        def work(tx: Transaction) -> Revoked:
            end = codes.revoke(tx, device_uuid, cloud.clock())
            if end is not Revoked.BEFORE:
                _note(tx, cloud, "revoke_device", device_uuid, {"identity": _IDENTITY[end]})
            return end

        try:
            end = cloud.database.transact(work)
        finally:
            cloud.close()
        if end is Revoked.BY_HAND:
            click.echo(STAYS_IN.strip().format(device=device_uuid), err=True)
            sys.exit(BAD)
        if end is Revoked.BEFORE:
            click.echo(f"{device_uuid} is out already, or there is no such machine", err=True)
            sys.exit(BAD)
        click.echo(f"{device_uuid} is out, as soon as a worker has told the broker.")


def _note(tx: Transaction, cloud: Cloud, act: str, device_uuid: str, after: dict[str, str]) -> None:
    device = tx.session.get_one(Device, device_uuid)
    subject = Subject("device", device_uuid, device.merchant_id, device_uuid)
    record(tx, Entry(act, Author(f"cli:{getpass.getuser()}"[:64], "coffee-cloud"), subject, after=after), cloud.clock())
