"""One thing of the merchant `north` for every kind of thing that routes are about.

A section with a kind of its own adds how to make one here; `test_every_route.py` then walks its routes.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import delete, func, select

from cloud.access.acts import Act, Role
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.models import JournalRow, Membership
from cloud.access.person import EVERYTHING
from cloud.alerts import channel_settings
from cloud.alerts.channel_settings import ChannelTerms
from cloud.alerts.incident import Condition, advance, begun
from cloud.alerts.kinds import Kind
from cloud.alerts.models import Channel, IncidentRow
from cloud.alerts.store import write
from cloud.books import exports
from cloud.books.exports import Export, ExportPart
from cloud.books.period import Period
from cloud.books.reading import Asked
from cloud.database.transaction import Transaction
from cloud.payments.reconcile.models import FoundDifference
from cloud.releases import rollouts
from cloud.releases.models import Rollout, RolloutMachine
from cloud.releases.rollouts import Plan
from tests.cloud.console.building import OWN, Console
from tests.cloud.console.made import a_claim, a_release, a_request
from tests.cloud.worlds import DEVICE


def _incident(console: Console) -> str:
    now = console.world.now
    condition = Condition(Kind.OFFLINE, OWN, DEVICE, now - timedelta(hours=1))
    known = advance(begun(condition, uuid.uuid4().hex, now), condition, now)
    console.world.database.transact(lambda tx: tx.session.execute(delete(IncidentRow)))
    console.world.database.transact(lambda tx: write(tx.session, known))
    return known.id


def _channel(console: Console) -> str:
    terms = ChannelTerms("email", "duty", "duty@example.org")
    console.world.database.transact(lambda tx: tx.session.execute(delete(Channel)))
    made, _ = console.world.database.transact(
        channel_settings.add, OWN, terms, console.world.vault, console.world.now
    )  # fmt: skip
    return made.id


def _member(console: Console) -> str:
    """A viewer of the merchant."""
    console.add_user(f"guest{len(console.ids)}", OWN, Role.VIEWER)
    with console.cloud.database.read() as session:
        return str(session.scalar(select(func.max(Membership.id))))


def _entry(console: Console) -> str:
    author = Author("cli:test", "test")
    entry = Entry(Act.EDIT_MENU, author, Subject("device", DEVICE, OWN, DEVICE))
    console.cloud.database.transact(record, entry, console.clock.now)
    with console.cloud.database.read() as session:
        return str(session.scalar(select(func.max(JournalRow.id))))


def _difference(console: Console) -> str:
    now = console.world.now

    def made(tx: Transaction) -> str:
        found = FoundDifference(
            merchant_id=OWN, fingerprint=uuid.uuid4().hex, day=now.date(), kind="amount_differs", state="open",
            here=100, there=200, first_seen_at=now, last_seen_at=now,
        )  # fmt: skip
        tx.session.add(found)
        tx.session.flush()
        return str(found.id)

    return console.world.database.transact(made)


def _export(console: Console) -> str:
    """A file that is ready."""
    now, asked = console.clock.now, Asked(EVERYTHING, Period(console.clock.now.date(), console.clock.now.date()))

    def make(tx: Transaction) -> str:
        tx.session.execute(delete(Export))
        made = exports.ask(tx, OWN, ("", ""), "days", asked, {}, now)
        made.state, made.size = exports.State.READY.value, 4
        tx.session.add(ExportPart(export_id=made.id, number=0, body=b"file"))
        return made.id

    return console.cloud.database.transact(make)


def _release(console: Console) -> str:
    """A version that nothing hinders from being brought out."""
    console.cloud.database.transact(lambda tx: tx.session.execute(delete(RolloutMachine)))
    console.cloud.database.transact(lambda tx: tx.session.execute(delete(Rollout)))
    return a_release(console)


def _rollout(console: Console) -> str:
    """One that goes on."""
    turned = console.cloud.database.transact(rollouts.start, Plan(_release(console)), "test", console.clock.now)
    return str(turned.rollout.id)


SAMPLES: dict[str, Callable[[Console], str]] = {
    "claim": a_claim,
    "return_request": a_request,
    "channel": _channel,
    "incident": _incident,
    "difference": _difference,
    "export": _export,
    "release": _release,
    "rollout": _rollout,
    "device": lambda _: DEVICE,
    "entry": _entry,
    "member": _member,
    "drink": lambda _: f"{DEVICE}/latte",
    "merchant": lambda _: OWN,
    "order": lambda console: console.world.pay(),
}

OTHERS = {"scenario": "Yookassa", "field": "client_info_paid", "book": "ledger"}
"""What paths name beside the thing they are about."""
