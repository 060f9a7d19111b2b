"""The commands of `coffee-cloud alerts`: channels set up without the console, and what is wrong now."""

import getpass
import sys
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

import click
from sqlalchemy import select

from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, Subject, record
from cloud.alerts import channel_settings, handling
from cloud.alerts.channel_settings import KINDS, ChannelTerms, ChannelWrong
from cloud.alerts.incident import LIVE
from cloud.alerts.kinds import PLATFORM
from cloud.alerts.models import Channel, Delivery, IncidentRow
from cloud.alerts.store import IS_KNOWN, incident_of, subject_of
from cloud.alerts.wording import SENTENCES, Reader, title_of, undelivered
from cloud.database.transaction import Transaction
from cloud.fleet.models import Merchant
from cloud.fleet.vault import Vault
from cloud.starting import open_cloud
from cloud.wiring import Cloud

BAD, WRONG_USAGE = 1, 2
LAST_ATTEMPTS = 5
WHOLE_SERVICE = "platform"
"""How the merchant of the platform's own channels is called here."""


def add_to(main: click.Group) -> None:
    """Add the commands."""
    commands = click.Group("alerts", help="Who is told when something is wrong, and what is wrong now.")
    for make in (_adding, _listing, _testing, _removing, _telling, _acknowledging):
        commands.add_command(make(open_cloud))
    main.add_command(commands)


def _adding(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="add")
    @click.argument("merchant")
    @click.argument("kind", type=click.Choice(KINDS))
    @click.argument("address")
    @click.option("--name", default="", help="how people call it; the address, when not given")
    @click.option("--language", type=click.Choice([*SENTENCES]), default="ru", show_default=True)
    def command(merchant: str, kind: str, address: str, name: str, language: str) -> None:
        """Tell MERCHANT's alerts (`platform`: those of the whole service) to ADDRESS: a chat, a mailbox, a URL."""
        cloud = ready_made()
        merchant_id = PLATFORM if merchant == WHOLE_SERVICE else merchant
        terms = ChannelTerms(kind, name or address[:64], address, language)
        vault = Vault(cloud.settings.secret_key, cloud.settings.old_secret_keys)

        def work(tx: Transaction) -> tuple[Channel, str]:
            channel, secret = channel_settings.add(tx, merchant_id, terms, vault, cloud.clock())
            _note(tx, cloud, Act.EDIT_ALERTS, _subject(channel), channel_settings.terms_of(channel), {})
            return channel, secret

        try:
            with cloud.database.read() as session:
                if merchant_id != PLATFORM and session.get(Merchant, merchant_id) is None:
                    _fail(f"there is no merchant {merchant}")
            channel, secret = cloud.database.transact(work)
        except ChannelWrong as error:
            click.echo(f"this makes no channel: {error}", err=True)
            sys.exit(WRONG_USAGE)
        finally:
            cloud.close()
        click.echo(f"Channel {channel.id} is set up. Try it: coffee-cloud alerts test {channel.id}")
        if secret:
            click.echo(f"Calls are signed with this secret, which is shown only now: {secret}")

    return command


def _listing(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="channels")
    def command() -> None:
        """List the channels, and how the last attempts at each ended."""
        cloud = ready_made()
        try:
            with cloud.database.read() as session:
                for channel in session.scalars(select(Channel).order_by(Channel.merchant_id, Channel.created_at)):
                    attempts = select(Delivery.result).where(Delivery.channel_id == channel.id)
                    tried = ", ".join(session.scalars(attempts.order_by(Delivery.id.desc()).limit(LAST_ATTEMPTS)))
                    owner = channel.merchant_id or WHOLE_SERVICE
                    click.echo(f"{channel.id}  {owner}  {channel.kind}  {channel.name}  {_state(channel)}  {tried}")
        finally:
            cloud.close()

    return command


def _testing(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="test")
    @click.argument("channel_id")
    def command(channel_id: str) -> None:
        """Have the worker send a test message there; one that arrives mends a channel that was broken."""

        def work(tx: Transaction, cloud: Cloud) -> None:
            if told := channel_settings.test(tx, channel_id, cloud.clock()):
                _note(tx, cloud, Act.EDIT_ALERTS, _subject(channel_settings.of_id(tx, channel_id)), dict(told))

        try:
            _act(ready_made, work)
        except ChannelWrong as error:
            _fail(f"no test is sent: {error} in the last hour")
        click.echo("The worker sends a test message: coffee-cloud alerts channels says how it ended.")

    return command


def _removing(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="remove")
    @click.argument("channel_id")
    def command(channel_id: str) -> None:
        """Tell nothing there any more."""

        def work(tx: Transaction, cloud: Cloud) -> None:
            channel = channel_settings.of_id(tx, channel_id)
            _note(tx, cloud, Act.EDIT_ALERTS, _subject(channel), {}, channel_settings.terms_of(channel))
            channel_settings.remove(tx, channel_id)

        _act(ready_made, work)
        click.echo("Removed.")

    return command


def _telling(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="list")
    @click.option("--language", type=click.Choice([*SENTENCES]), default="en", show_default=True)
    def command(language: str) -> None:
        """List what is wrong now; exit 1 when anything is."""
        cloud = ready_made()
        try:
            with cloud.database.read() as session:
                live = IncidentRow.state.in_([state.value for state in LIVE])
                rows = session.scalars(select(IncidentRow).where(live, IS_KNOWN).order_by(IncidentRow.since)).all()
            now, reader = cloud.clock(), Reader(language, ZoneInfo("UTC"), "")
        finally:
            cloud.close()
        for row in rows:
            click.echo(_line(row, reader, now))
        sys.exit(BAD if rows else 0)

    return command


def _acknowledging(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="acknowledge")
    @click.argument("incident_id")
    @click.option("--by", required=True, help="who looks after it")
    def command(incident_id: str, by: str) -> None:
        """Say that somebody looks after it: it is not repeated any more."""

        def work(tx: Transaction, cloud: Cloud) -> None:
            incident = handling.acknowledge(tx, incident_id, by, cloud.clock())
            _note(tx, cloud, Act.ACKNOWLEDGE, subject_of(incident), {"acknowledged_by": by})

        try:
            _act(ready_made, work)
        except handling.Over:
            _fail("it is over already")
        click.echo("Acknowledged.")

    return command


def _act(ready_made: Callable[[], Cloud], act: Callable[[Transaction, Cloud], None]) -> None:
    cloud = ready_made()
    try:
        cloud.database.transact(act, cloud)
    except LookupError as error:
        _fail(f"there is none of this id: {error}")
    finally:
        cloud.close()


def _note(
    tx: Transaction, cloud: Cloud, act: Act, subject: Subject, after: dict[str, object],
    before: dict[str, object] | None = None,
) -> None:  # fmt: skip
    author = Author(f"cli:{getpass.getuser()}"[:64], "coffee-cloud")
    record(tx, Entry(act, author, subject, before=before, after=after), cloud.clock())


def _subject(channel: Channel) -> Subject:
    return Subject("channel", channel.id, channel.merchant_id)


def _state(channel: Channel) -> str:
    if channel.broken_since is not None:
        return f"broken ({undelivered(channel.broken_why, 'en')})"
    if channel.failing_since is not None:
        why = undelivered(channel.failing_why, "en")
        return f"nothing arrives since {channel.failing_since:%Y-%m-%d %H:%M}Z ({why})"
    return "ok"


def _line(row: IncidentRow, reader: Reader, now: datetime) -> str:
    known = f", acknowledged by {row.acknowledged_by}" if row.acknowledged_by else ""
    return f"{row.id}  {row.since:%Y-%m-%d %H:%M}Z  {title_of(incident_of(row), reader, now)}{known}"


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
