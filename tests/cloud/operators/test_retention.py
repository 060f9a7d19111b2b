"""What is kept only for a while goes when its time is over, in small batches; a buyer is forgotten when he asks."""

import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cloud.access.models import JournalRow
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, Wanted
from cloud.database.transaction import Transaction
from cloud.migrations.migrate import TABLES
from cloud.operators import retention
from cloud.operators.forget_buyer import NO_WORDS, NotForgettable, forget_buyer
from cloud.operators.retention import BATCH, QUARTER, YEARS, Retention
from cloud.orders import archive, claims
from cloud.orders.claims import ClaimKind, ClaimMessage
from cloud.orders.outbox import OutboxRow
from cloud.orders.restores import UnclaimedOutcome
from cloud.payments.facts import ProviderStatus
from cloud.payments.models import StoredNotification
from cloud.payments.outcomes import Ok
from cloud.payments.reconcile.models import FoundDifference, State
from protocol.reasons import Result
from tests.cloud.orders.test_archive import rest
from tests.cloud.payments.custom_till import a_custom_till
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE, World


def notifications(world: World, count: int, handled: bool = True) -> None:
    def add(tx: Transaction) -> None:
        have = tx.session.scalar(select(func.count()).select_from(StoredNotification)) or 0
        tx.session.add_all(
            StoredNotification(
                provider="yookassa", dedupe_key=f"k{have + number}", body="{}", received_at=world.now,
                look_at=world.now, handled_at=world.now if handled else None,
            )
            for number in range(count)
        )  # fmt: skip

    world.database.transact(add)


def left(world: World) -> int:
    with world.database.read() as session:
        return session.scalar(select(func.count()).select_from(StoredNotification)) or 0


def test_handled_notifications_go_after_their_term_in_batches(world: World) -> None:
    notifications(world, 3, handled=False)
    notifications(world, BATCH)
    world.clock.advance(60)
    notifications(world, 5)
    loop = Retention(world.database)
    assert loop.step(world.now + QUARTER - timedelta(minutes=2)) - world.now > QUARTER
    assert left(world) == BATCH + 8
    later = world.now + QUARTER - timedelta(seconds=30)
    while loop.step(later) == later + retention.SOON:
        pass
    assert left(world) == 5 + 3


def test_a_whole_batch_is_followed_by_the_next_at_once(world: World) -> None:
    notifications(world, BATCH + 1)
    later = world.now + QUARTER + timedelta(days=1)
    loop = Retention(world.database)
    assert loop.step(later) == later + retention.SOON
    assert left(world) == 1
    assert loop.step(later) == later + retention.SOON
    assert loop.step(later) == later + retention.LATER
    assert left(world) == 0


def findings(world: World, count: int, state: State, seen: datetime, closed: datetime | None = None) -> None:
    def add(tx: Transaction) -> None:
        have = tx.session.scalar(select(func.count()).select_from(FoundDifference)) or 0
        tx.session.add_all(
            FoundDifference(
                merchant_id="north", fingerprint=f"f{have + number}", day=world.now.date(), kind="no_list",
                state=state.value, first_seen_at=world.now, last_seen_at=seen, closed_at=closed,
            )
            for number in range(count)
        )  # fmt: skip

    world.database.transact(add)


def test_findings_go_in_their_time_whatever_stays_before_them(world: World) -> None:
    """Regression: behind 500 that were never closed none was ever removed."""
    later = world.now + YEARS + timedelta(days=2)
    findings(world, BATCH, State.EXPLAINED, seen=later - timedelta(days=9))
    findings(world, 2, State.CLOSED, seen=world.now, closed=later - timedelta(days=9))
    findings(world, 1, State.OPEN, seen=world.now)
    findings(world, BATCH, State.EXPLAINED, seen=world.now)
    findings(world, 100, State.CLOSED, seen=world.now, closed=world.now)
    loop = Retention(world.database)
    while loop.step(later) == later + retention.SOON:
        pass
    with world.database.read() as session:
        states = session.scalars(select(FoundDifference.state)).all()
    assert Counter(states) == {State.EXPLAINED: BATCH, State.CLOSED: 2, State.OPEN: 1}


@pytest.mark.parametrize("rests", [False, True], ids=["living", "at rest"])
def test_what_a_merchants_own_page_called_back_of_money_stays_without_words(world: World, rests: bool) -> None:
    """Regression: after 90 days its provider said that such a payment had been canceled."""
    with a_custom_till(world, ()) as till:
        unpaid, order_id = till.open_payment(), till.paid()
        till.press(unpaid, "decline")
        till.hear()
        till.work()
        world.publish(order_id)
        world.report(order_id, Result.DONE)
        heard = till.notifications()
        assert any('"method"' in row.body for row in heard)
        if rests:
            assert order_id in rest(world)
        later = world.now + QUARTER + timedelta(days=1)
        loop = Retention(world.database)
        while loop.step(later) == later + retention.SOON:
            pass
        world.database.transact(archive.bring_back, [order_id])
        world.clock.now = later
        client = till.shops.of("north", "Custom")[1]
        told = client.fetch(till.name(order_id))
        assert isinstance(told, Ok)
        assert (told.value.status, told.value.captured) == (ProviderStatus.SUCCEEDED, PRICE)
        left = till.notifications()
        assert {row.provider_payment_id for row in left} == {till.name(order_id)}
        assert 0 < len(left) < len(heard)
        assert all('"method"' not in row.body for row in left)


def test_every_table_has_its_rule_in_the_documentation() -> None:
    """A new table needs a line that says what makes it grow, and what ends that."""
    section = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    section = section.partition("## What is kept how long")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert all(len(row) == 5 and all(cell.strip() for cell in row[1:4]) for row in rows)
    assert {name for row in rows for cell in row[1:4] for name in re.findall("`([a-z_]+)`", cell)} == set(TABLES.tables)


def test_ended_jobs_and_tasks_of_no_order_go_after_their_term(world: World) -> None:
    wanted = Wanted(Kind.RINSE)

    def ask(tx: Transaction, number: int) -> None:
        device_jobs.ask(tx, DEVICE, wanted, "ops", device_jobs.new_id(Kind.RINSE, str(number)), world.now)
        device_jobs.overdue(tx, world.now + timedelta(hours=1))

    def rows() -> tuple[list[str], list[str]]:
        with world.database.read() as session:
            tasks = session.scalars(select(OutboxRow.key).where(OutboxRow.order_id == ""))
            return sorted(session.scalars(select(DeviceJob.id))), sorted(tasks)

    world.start(order_id := world.scan())
    began, of_order = world.now, len(world.rows(order_id))
    world.database.transact(ask, 1)
    world.clock.advance(7200)
    world.database.transact(ask, 2)
    retention.Retention(world.database).step(began + timedelta(hours=1, minutes=1) + QUARTER)
    assert rows() == (["rinse-2"], ["rinse-2"])
    assert len(world.rows(order_id)) == of_order


def test_every_kind_can_be_asked_for(world: World) -> None:
    world.database.transact(
        lambda tx: tx.session.add(
            UnclaimedOutcome(
                device_uuid="m-001", command_id="mk", order_id="o", revision=1, said=b"", received_at=world.now
            )
        )
    )
    for kept in retention.ALL:
        assert world.database.transact(retention.remove, kept, world.now) == 0
    removed = [
        world.database.transact(retention.remove, kept, world.now + timedelta(days=4000)) for kept in retention.ALL
    ]
    assert sum(removed) == 1


def test_a_buyer_is_forgotten_and_the_order_stays(till: Till) -> None:
    world = till.world
    order_id = till.paid()
    with pytest.raises(NotForgettable):
        world.database.transact(forget_buyer, order_id, "ops", "asked", world.now)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    till.work()
    claim = world.database.transact(claims.say, order_id, ClaimKind.OTHER, "my name is Anna", "ru", world.now)
    with pytest.raises(NotForgettable, match="claim"):
        world.database.transact(forget_buyer, order_id, "ops", "asked", world.now)
    world.database.transact(claims.answer, claim.id, "ops", "Anna, it is back", world.now, resolves=True)
    world.database.transact(forget_buyer, order_id, "ops", "asked", world.now)
    with world.database.read() as session:
        assert list(session.scalars(select(ClaimMessage.words))) == [NO_WORDS, NO_WORDS]
        assert set(session.scalars(select(StoredNotification.body))) <= {"{}"}
        assert [row.act for row in session.scalars(select(JournalRow))] == ["forget_buyer"]
    assert all(row.call_body is None for row in world.rows(order_id) if row.lane == "provider")
    assert world.history(order_id)[-1].event == "buyer_forgotten"
    assert world.status(order_id) == "successful"
