"""`coffee-cloud broker-file`: what the broker's plugin begins with, from the settings. Needs no database."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from cloud.courier import broker_address, broker_file
from cloud.courier.broker_file import CannotTakeOver
from cloud.settings import Settings

BAD, WRONG_USAGE = 1, 2


def add_to(main: click.Group, settings: Callable[[], Settings]) -> None:
    """Add the command."""

    @main.command(name="broker-file")
    @click.option("--passwords", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
                  help="take over the machines of this file of mosquitto_passwd; '-': standard input")  # fmt: skip
    def make(passwords: Path | None) -> None:
        """Print the file that Mosquitto's dynamic-security plugin begins with (hashes alone, no password).

        It knows COFFEE_MQTT_USER with COFFEE_MQTT_PASSWORD; workers then tell the broker of each machine that enrols.
        """
        place = _ourselves(settings())
        lines = [] if passwords is None else click.open_file(str(passwords)).read().splitlines()
        try:
            begun = broker_file.begin(place.user, place.password, lines)
        except CannotTakeOver as error:
            click.echo(str(error), err=True)
            sys.exit(BAD)
        click.echo(json.dumps(begun, indent=1, ensure_ascii=False))


def _ourselves(settings: Settings) -> broker_address.Address:
    place = broker_address.addresses(settings.mqtt_url, settings.mqtt_user, settings.mqtt_password)[0]
    if not place.user or not place.password:
        click.echo("COFFEE_MQTT_USER and COFFEE_MQTT_PASSWORD must be set: they are the first name there", err=True)
        sys.exit(WRONG_USAGE)
    return place
