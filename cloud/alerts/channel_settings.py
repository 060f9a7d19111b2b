"""Channels as people set them up: added, changed, tested, removed."""

import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, time, timedelta
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud.access.acts import Act
from cloud.access.models import JournalRow
from cloud.alerts.kinds import Severity
from cloud.alerts.models import AlertMessage, Channel
from cloud.alerts.sendings import want
from cloud.alerts.wording import SENTENCES
from cloud.database import named_lock
from cloud.database.due import SLACK
from cloud.database.transaction import Transaction
from cloud.fleet import zones
from cloud.fleet.locked_secrets import LockedSecret
from cloud.fleet.models import Merchant
from cloud.fleet.vault import Vault

KINDS = ("telegram", "max", "email", "webhook")
MOST_OF_A_MERCHANT = 20
TEST, TESTED = "test", {"test": True}
"""The purpose of a test's message; what the journal says of it, by which tests are counted: a channel may be gone."""
TESTED_BROKEN = {"test": True, "broken": True}
"""The same of one that was broken."""
TESTS_OF_A_CHANNEL, TESTS_OF_A_MERCHANT, COUNTED_FOR = 5, 30, timedelta(hours=1)
"""An address is written down by anybody's hand: its owner is not to be flooded."""
TESTS_OF_A_BROKEN_CHANNEL = 20
"""Beside these: refusals on the way to one that arrives do not use up the tests of what is mended."""


class ChannelWrong(ValueError):
    """What was given makes no channel; the words name the field."""


@dataclass(frozen=True)
class ChannelTerms:
    """Everything a person can set."""

    kind: str
    name: str
    address: str
    language: str = "ru"
    zone: str = ""
    """Empty: that of its merchant's books."""
    least: str = Severity.NOTICE.value
    is_second: bool = False
    summary: bool = True
    quiet_begin: time | None = None
    quiet_end: time | None = None
    pierces: bool = True

    def check(self) -> None:
        """Raise `ChannelWrong` for the first field that cannot be."""
        if self.kind not in KINDS:
            raise ChannelWrong("kind")
        if not 0 < len(self.name.strip()) <= 64:
            raise ChannelWrong("name")
        if not _is_address(self.kind, self.address):
            raise ChannelWrong("address")
        if self.language not in SENTENCES:
            raise ChannelWrong("language")
        if self.least not in set(Severity):
            raise ChannelWrong("least")
        if (self.quiet_begin is None) != (self.quiet_end is None):
            raise ChannelWrong("quiet hours")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ChannelWrong("zone") from error


def add(tx: Transaction, merchant_id: str, terms: ChannelTerms, vault: Vault, now: datetime) -> tuple[Channel, str]:
    """A new channel, and its signing secret if it has one: shown now and never again. Raises `ChannelWrong`."""
    secret = secrets.token_urlsafe(32) if terms.kind == "webhook" else ""
    locked = vault.lock(secret) if secret else ""
    return _added(tx, uuid.uuid4().hex, merchant_id, terms, locked, now), secret


def put_back(tx: Transaction, channel_id: str, merchant_id: str, terms: ChannelTerms, now: datetime) -> None:
    """Put a removed channel back under its old id; a webhook, whose secret is gone, can only be added anew."""
    if terms.kind == "webhook":
        raise ChannelWrong("secret gone")
    _added(tx, channel_id, merchant_id, terms, "", now)


def terms_of(channel: Channel) -> dict[str, object]:
    """Everything a person can set, as JSON can hold it."""
    told = {each.name: getattr(channel, each.name) for each in fields(ChannelTerms)}
    return {name: value.isoformat("minutes") if isinstance(value, time) else value for name, value in told.items()}


def terms_from(told: Mapping[str, Any]) -> ChannelTerms:
    """What `terms_of` told."""
    quiet = {name: time.fromisoformat(told[name]) for name in ("quiet_begin", "quiet_end") if told.get(name)}
    return ChannelTerms(**{**told, **quiet})


def _added(
    tx: Transaction, channel_id: str, merchant_id: str, terms: ChannelTerms, locked: str, now: datetime
) -> Channel:
    terms = _in_a_zone(tx, merchant_id, terms)
    terms.check()
    if tx.session.query(Channel).filter(Channel.merchant_id == merchant_id).count() >= MOST_OF_A_MERCHANT:
        raise ChannelWrong("too many channels")
    channel = Channel(id=channel_id, merchant_id=merchant_id, secret=locked, created_at=now, **vars(terms))
    tx.session.add(channel)
    tx.session.flush()
    return channel


def _in_a_zone(tx: Transaction, merchant_id: str, terms: ChannelTerms) -> ChannelTerms:
    """Unless it names one: a merchant's channel tells the hours of its books, the platform's those of the market."""
    if terms.zone:
        return terms
    merchant = tx.session.get(Merchant, merchant_id)
    return replace(terms, zone=merchant.zone if merchant is not None else zones.DEFAULT)


def change(tx: Transaction, channel_id: str, terms: ChannelTerms) -> None:
    """Set it up anew; its kind and its secret stay. Raises `ChannelWrong` and `LookupError`."""
    channel = of_id(tx, channel_id)
    terms = _in_a_zone(tx, channel.merchant_id, terms)
    terms.check()
    if channel.kind != terms.kind:
        raise ChannelWrong("kind")
    move(tx, channel, terms.address)
    for name, value in vars(terms).items():
        setattr(channel, name, value)
    channel.works_again()


def move(tx: Transaction, channel: Channel, address: str) -> None:
    """Send there from now on. What was sent before is not changed any more: its number may be another's there."""
    if channel.address != address:
        channel.address = address
        sent = update(AlertMessage).where(AlertMessage.channel_id == channel.id)
        tx.session.execute(sent.values(can_change=False))


def remove(tx: Transaction, channel_id: str) -> None:
    """Nothing goes there any more; its log goes with it."""
    tx.session.delete(of_id(tx, channel_id))


def test(tx: Transaction, channel_id: str, now: datetime) -> Mapping[str, bool]:
    """Have a test message sent; what the caller writes into the journal of it, nothing when one was under way.

    Of a channel one is under way at a time. One that arrives mends a channel that was broken. Raises `ChannelWrong`.
    """
    channel = of_id(tx, channel_id)
    named_lock.hold(tx, f"tests of {channel.merchant_id}")
    of_channel = (AlertMessage.channel_id == channel_id, AlertMessage.purpose == TEST)
    waiting = tx.session.scalar(select(AlertMessage).where(*of_channel, AlertMessage.task_due_at.is_not(None)))
    if waiting is not None:
        if channel.failing_since is None:  # or it was put off, and the channel set up anew since
            waiting.not_before = None
            want(tx, waiting, now, now)
        return {}
    told = TESTED if channel.broken_since is None else TESTED_BROKEN
    _not_too_often(tx, channel, told, now)
    said = SENTENCES[channel.language]
    once(tx, channel, TEST, said["test.subject"], said["test.text"], now)
    return told


def _not_too_often(tx: Transaction, channel: Channel, told: Mapping[str, bool], now: datetime) -> None:
    of_tests = select(JournalRow.object_id, JournalRow.after).where(
        JournalRow.merchant_id == channel.merchant_id, JournalRow.at.between(now - COUNTED_FOR, now + SLACK),
        JournalRow.kind == "channel", JournalRow.act == Act.EDIT_ALERTS,
    )  # fmt: skip
    alike = [object_id for object_id, after in tx.session.execute(of_tests) if after == told]
    if told == TESTED_BROKEN:
        is_enough = alike.count(channel.id) >= TESTS_OF_A_BROKEN_CHANNEL
    else:
        is_enough = alike.count(channel.id) >= TESTS_OF_A_CHANNEL or len(alike) >= TESTS_OF_A_MERCHANT
    if is_enough:
        raise ChannelWrong("too many tests")


def once(tx: Transaction, channel: Channel, purpose: str, subject: str, body: str, now: datetime) -> str:
    """Have something sent that is about no incident; the message's id."""
    message = AlertMessage(
        id=uuid.uuid4().hex, channel_id=channel.id, purpose=purpose, subject=subject, body=body, sendings=0
    )
    tx.session.add(message)
    want(tx, message, now, now)
    return message.id


def of_id(tx: Transaction, channel_id: str) -> Channel:
    """The channel. Raises `LookupError`."""
    channel = tx.session.get(Channel, channel_id)
    if channel is None:
        raise LookupError(channel_id)
    return channel


def locked_secrets(session: Session) -> Iterable[LockedSecret]:
    """Secrets that sign calls, their rows held."""
    for channel in session.scalars(select(Channel).where(Channel.secret != "").order_by(Channel.id).with_for_update()):
        yield LockedSecret(f"signing secret of channel {channel.id}", channel, "secret")


def _is_address(kind: str, address: str) -> bool:
    if kind == "email":
        name, mailbox = parseaddr(address)
        return not name and mailbox == address and 3 < len(address) <= 254 and 0 < address.find("@") < len(address) - 1
    if kind == "webhook":
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and len(address) <= 1024
    return address.removeprefix("-").removeprefix("@").replace("_", "").isalnum() and len(address) <= 64
