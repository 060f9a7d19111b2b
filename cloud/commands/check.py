"""`coffee-cloud check`: are the settings and every connection good?"""

import sys

import click

from cloud.operators.check import checkup
from cloud.starting import BAD, settings_of_environ


def add_to(main: click.Group) -> None:
    """Add the command."""
    main.add_command(check)


@click.command()
def check() -> None:
    """Try the settings and every connection; say what is wrong in plain words."""
    findings = checkup(settings_of_environ())
    for finding in findings:
        click.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.words}")
    sys.exit(0 if all(finding.good for finding in findings) else BAD)
