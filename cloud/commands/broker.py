"""`coffee-cloud broker-file` and `broker-password`: our own name at the broker. They need no database."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from cloud.courier import broker_address, broker_file
from cloud.courier.broker import BrokerLink, client_id_of, link_of
from cloud.courier.broker_file import CannotTakeOver
from cloud.courier.dynamic_security import RESPONSE, DynamicSecurity
from cloud.settings import Settings
from cloud.starting import settings_of_environ

BAD, WRONG_USAGE = 1, 2
SHORTEST = 16
PATIENCE_S = 10.0


def add_to(main: click.Group) -> None:
    """Add the commands."""

    @main.command(name="broker-file")
    @click.option("--passwords", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
                  help="take over the machines of this file of mosquitto_passwd; '-': standard input")  # fmt: skip
    def make(passwords: Path | None) -> None:
        """Print the file that Mosquitto's dynamic-security plugin begins with (hashes alone, no password).

        It knows COFFEE_MQTT_USER with COFFEE_MQTT_PASSWORD; workers then tell the broker of each machine that enrols.
        """
        place = _ourselves(settings_of_environ())
        lines = [] if passwords is None else click.open_file(str(passwords)).read().splitlines()
        try:
            begun = broker_file.begin(place.user, place.password, lines)
        except CannotTakeOver as error:
            click.echo(str(error), err=True)
            sys.exit(BAD)
        click.echo(json.dumps(begun, indent=1, ensure_ascii=False))

    @main.command(name="broker-password")
    def change() -> None:
        """Tell the broker's plugin our new password, read from standard input; whoever came with the old one is out.

        Afterwards set COFFEE_MQTT_PASSWORD and restart the workers: until then they do not come in.
        """
        configured = settings_of_environ()
        fresh = sys.stdin.readline().rstrip("\n")
        if len(fresh) < SHORTEST:
            click.echo(f"the new password must have {SHORTEST} characters or more", err=True)
            sys.exit(WRONG_USAGE)
        user = _ourselves(configured).user
        with _connected(configured, "the present password") as link:
            DynamicSecurity(link).give_ourselves(user, fresh)
        with _connected(replace(configured, mqtt_user=user, mqtt_password=fresh), "the new password"):
            click.echo("The broker knows the new password. Set COFFEE_MQTT_PASSWORD and restart the workers.")


@contextmanager
def _connected(settings: Settings, what: str) -> Iterator[BrokerLink]:
    link = link_of(settings, client_id_of("by-hand"), listens_to=[RESPONSE])
    link.start()
    try:
        if not link.wait_connected(PATIENCE_S):
            click.echo(f"the broker does not let us in with {what}: {link.trouble or 'no answer'}", err=True)
            sys.exit(BAD)
        yield link
    finally:
        link.stop()


def _ourselves(settings: Settings) -> broker_address.Address:
    place = broker_address.addresses(settings.mqtt_url, settings.mqtt_user, settings.mqtt_password)[0]
    if not place.user or not place.password:
        click.echo("COFFEE_MQTT_USER and COFFEE_MQTT_PASSWORD must be set: they are the first name there", err=True)
        sys.exit(WRONG_USAGE)
    return place
