"""Which user a person of a messenger is: codes that link a person or a chat, written to the bot once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from cloud.access.models import LinkCode, LinkedPerson
from cloud.alerts import channel_settings
from cloud.alerts.models import Channel
from cloud.database.transaction import Transaction

LIVES = timedelta(minutes=15)
LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
LENGTH = 10


@dataclass(frozen=True)
class Linked:
    """What a code did: `person` or `channel`, and which."""

    purpose: str
    value: str


def new_code(tx: Transaction, purpose: str, value: str, now: datetime) -> str:
    """A code for a person (by user id) or a channel (by id); earlier ones for the same are void."""
    tx.session.execute(delete(LinkCode).where((LinkCode.expires_at <= now) | (LinkCode.value == value)))
    code = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    tx.session.add(LinkCode(code_hash=_hash(code), purpose=purpose, value=value, expires_at=now + LIVES))
    return code


def link(tx: Transaction, messenger: str, user: str, chat: str, code: str, now: datetime) -> Linked | None:
    """Use a code that `user` wrote in `chat`; None when there is none such, or it is too old."""
    found = tx.session.get(LinkCode, _hash(code.strip().upper()), with_for_update=True)
    if found is None or found.expires_at <= now:
        return None
    linked = Linked(found.purpose, found.value)
    tx.session.delete(found)
    if found.purpose == "person":
        tx.session.merge(LinkedPerson(messenger=messenger, user=user, who=found.value, linked_at=now))
        return linked
    channel = tx.session.get(Channel, found.value)
    if channel is None or channel.kind != messenger:
        return None
    channel_settings.move(tx, channel, chat)
    channel.works_again()
    return linked


def who_is(tx: Transaction, messenger: str, user: str) -> str | None:
    """The user this is; None for a stranger."""
    asked = select(LinkedPerson.who).where(LinkedPerson.messenger == messenger, LinkedPerson.user == user)
    return tx.session.scalar(asked)


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
