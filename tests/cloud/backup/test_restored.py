"""A backup of any age is restored: nothing poured is refunded, what did not pour comes back by itself."""

import re
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, insert, select

from cloud.access import sessions, users
from cloud.backup import programs
from cloud.backup.commands import TAKE_AWAY
from cloud.cli import main
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, FormerCredential
from cloud.orders.at_risk import Next, each_at_risk
from cloud.orders.models import Order
from cloud.orders.restores import Restore, RestoredShop, UnclaimedOutcome
from cloud.orders.states import Status
from cloud.orders.tasks import Task
from cloud.payments.reconcile.nightly import forget_left_accounts
from protocol.reasons import Result
from tests.cloud.backup.restoring import Restorable
from tests.cloud.payments.reconciling import share_the_shop
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE

pytestmark = pytest.mark.any_database

DAY_S = 24 * 3600.0
CAPTURES = ["on_dispense", "immediate"]


@pytest.fixture
def there(till: Till, tmp_path: Path) -> Restorable:
    return Restorable(till, tmp_path)


def poured(till: Till) -> str:
    """Paid and poured, money and all."""
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    assert till.booked(order_id)["captured"] == PRICE
    return order_id


def published(till: Till) -> str:
    """Paid, its command sent."""
    order_id = till.paid()
    till.world.publish(order_id)
    return order_id


def booked(there: Restorable, order_id: str) -> tuple[int, int, int]:
    """Kopecks the provider holds, took and gave back."""
    told = there.till.booked(order_id)
    return told["held"], told["captured"], told["refunded"]


def actions(there: Restorable) -> set[Next]:
    with there.world.database.read() as session:
        return {money.action for money in each_at_risk(session, there.world.now)}


def without_shops(there: Restorable) -> list[dict[str, Any]]:
    """The database knows no account any more; those it knew."""
    with there.world.database.read() as session:
        shops = [dict(row) for row in session.execute(select(*Credential.__table__.columns)).mappings()]
    there.world.database.transact(lambda tx: tx.session.execute(delete(Credential)) and None)
    return shops


def come_back(there: Restorable, shops: list[dict[str, Any]]) -> None:
    """As by the newest fleet file."""
    there.world.database.transact(lambda tx: tx.session.execute(insert(Credential), shops) and None)
    there.world.clock.advance(2)


def _left(shop: dict[str, Any]) -> dict[str, Any]:
    return {column.key: shop[column.key] for column in FormerCredential.__table__.columns}


def is_known(there: Restorable, order_id: str) -> bool:
    with there.world.database.read() as session:
        return session.get(Order, order_id) is not None


@pytest.mark.parametrize("capture", CAPTURES)
@pytest.mark.parametrize("age_s", [60.0, 3 * DAY_S])
def test_what_was_poured_since_is_found_and_stays_paid(there: Restorable, capture: str, age_s: float) -> None:
    there.takes_money(capture)
    there.back_up()
    order_id = poured(there.till)
    there.world.clock.advance(age_s)
    there.restore()
    assert not is_known(there, order_id)
    assert there.lacking()
    there.come_to_rest()
    assert actions(there) <= {Next.WAITING_FOR_EVIDENCE, Next.POURING}
    if age_s > there.world.rules.fast_track_s:
        assert there.world.status(order_id) == Status.MAKE_FAILED
        assert there.world.open_tasks(order_id, Task.QUERY)
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    assert there.world.status(order_id) == Status.SUCCESSFUL
    assert booked(there, order_id) == (0, PRICE, 0)
    assert there.world.order(order_id).drink_no == "latte"
    assert not actions(there)
    assert not there.lacking()


def test_what_was_sold_since_at_a_shop_that_several_share_is_its_machines_merchants(there: Restorable) -> None:
    share_the_shop(there.till, "alpha")
    there.back_up()
    order_id = poured(there.till)
    there.restore()
    there.come_to_rest()
    assert there.world.order(order_id).merchant_id == "north"
    assert there.world.payment(order_id).merchant_id == "north"


@pytest.mark.parametrize("capture", CAPTURES)
def test_what_was_not_poured_since_comes_back_by_itself(there: Restorable, capture: str) -> None:
    there.takes_money(capture)
    there.back_up()
    order_id = published(there.till)
    there.world.clock.advance(3600)
    there.restore()
    there.come_to_rest()
    assert actions(there) == {Next.WAITING_FOR_EVIDENCE}
    there.says(order_id, Result.REJECTED, "never_received")
    there.come_to_rest()
    held, captured, refunded = booked(there, order_id)
    assert held + captured - refunded == 0
    assert not actions(there)


@pytest.mark.parametrize("status", [Status.PENDING, Status.PAID, Status.MAKE_PENDING])
def test_what_was_open_at_the_backup_and_poured_since(there: Restorable, status: Status) -> None:
    till, world = there.till, there.world
    order_id = till.open_payment()
    if status is Status.PENDING:
        there.back_up()
    till.buyer_pays(order_id)
    till.look_at(order_id)
    if status is Status.PAID:
        there.back_up()
    world.publish(order_id)
    if status is Status.MAKE_PENDING:
        there.back_up()
    world.report(order_id, Result.DONE)
    till.work()
    world.clock.advance(DAY_S)
    there.restore()
    there.come_to_rest()
    world.clock.advance(world.rules.uncertain_grace_s + 1)
    there.come_to_rest()
    assert there.till.booked(order_id)["refunded"] == 0
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    assert world.status(order_id) == Status.SUCCESSFUL
    assert booked(there, order_id) == (0, PRICE, 0)


def test_poured_from_the_page_since_the_backup(there: Restorable) -> None:
    till, world = there.till, there.world
    order_id = till.open_payment()
    world.clock.advance(world.rules.fast_track_s + 5)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    assert world.status(order_id) == Status.MANUAL_MAKE
    there.back_up()
    there.restore()
    assert world.status(order_id) == Status.MAKE_FAILED
    world.clock.advance(2 * world.rules.manual_make_s)
    there.come_to_rest()
    assert till.booked(order_id)["refunded"] == 0
    assert till.booked(order_id)["held"] == PRICE
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    assert till.booked(order_id)["captured"] == PRICE


@pytest.mark.both_databases
def test_a_doubt_of_the_backup_is_decided_by_the_machine_alone(there: Restorable) -> None:
    there.takes_money("immediate")
    till, world = there.till, there.world
    order_id = till.paid()
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s + 1)
    assert world.open_tasks(order_id, Task.REFUND)
    there.back_up()
    world.report(order_id, Result.DONE)
    world.clock.advance(DAY_S)
    there.restore()
    there.come_to_rest()
    assert till.booked(order_id)["refunded"] == 0
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    assert world.status(order_id) == Status.SUCCESSFUL
    assert till.booked(order_id)["refunded"] == 0


def test_an_outcome_of_a_forgotten_order_is_kept_until_the_order_is_found(there: Restorable) -> None:
    there.back_up()
    order_id = published(there.till)
    there.world.clock.advance(3600)
    there.restore()
    there.says(order_id, Result.DONE)
    there.says(order_id, Result.DONE)
    with there.world.database.read() as session:
        assert len(list(session.scalars(select(UnclaimedOutcome)))) == 1
    there.come_to_rest()
    assert there.world.status(order_id) == Status.SUCCESSFUL
    assert there.till.booked(order_id)["captured"] == PRICE
    with there.world.database.read() as session:
        assert not list(session.scalars(select(UnclaimedOutcome)))


def test_an_agent_that_stays_silent_is_a_persons(there: Restorable) -> None:
    there.takes_money("immediate")
    there.back_up()
    order_id = poured(there.till)
    there.world.clock.advance(3600)
    there.restore()
    there.come_to_rest()
    there.world.clock.advance(DAY_S + 1)
    there.come_to_rest()
    assert there.till.booked(order_id)["refunded"] == 0
    assert actions(there) == {Next.PERSON}


@pytest.mark.both_databases
def test_a_return_made_since_is_not_made_again(there: Restorable) -> None:
    there.takes_money("immediate")
    till = there.till
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    there.back_up()
    till.work()
    assert till.booked(order_id)["refunded"] == PRICE
    till.world.clock.advance(3 * DAY_S)
    there.restore()
    there.come_to_rest()
    assert till.booked(order_id)["refunded"] == PRICE
    assert len(till.refunds_there()) == 1
    assert till.world.payment(order_id).refunded == PRICE
    assert not actions(there)


def test_the_buyer_who_had_the_page_open_gets_the_drink_or_the_money(there: Restorable) -> None:
    there.back_up()
    order_id = there.till.open_payment()
    there.restore()
    there.come_to_rest()
    there.till.buyer_pays(order_id)
    there.till.look_at(order_id)
    assert there.world.status(order_id) == Status.PAID
    assert there.world.command(order_id).attempt == 1


def test_an_order_of_a_machine_that_is_not_there_yet_waits_for_it(there: Restorable) -> None:
    till, world = there.till, there.world
    there.back_up()
    world.database.transact(_new_machine)
    order_id = "ord-new"
    world.scan(order_id, "m-009")
    till.press(order_id)
    till.buyer_pays(order_id)
    world.clock.advance(3600)
    there.restore()
    there.come_to_rest()
    assert any("m-009" in sentence for sentence in there.lacking())
    world.database.transact(_new_machine)
    world.clock.advance(60)
    there.come_to_rest()
    assert is_known(there, order_id)
    assert not there.lacking()


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_shop_that_is_not_in_the_backup_is_read_once_it_is_there(there: Restorable, is_finished: bool) -> None:
    shops = without_shops(there)
    there.back_up()
    come_back(there, shops)
    order_id = published(there.till)
    there.world.clock.advance(3600)
    there.restore()
    if is_finished:
        there.come_to_rest()
        assert not there.lacking()
    come_back(there, shops)
    there.world.clock.advance(60)
    there.come_to_rest()
    assert is_known(there, order_id)
    assert actions(there) == {Next.WAITING_FOR_EVIDENCE}
    assert not there.lacking()


def test_a_shop_of_much_later_is_nothing_of_a_restores(there: Restorable) -> None:
    shops = without_shops(there)
    there.back_up()
    there.restore()
    there.come_to_rest()
    there.world.clock.advance(31 * DAY_S)
    come_back(there, shops)
    there.come_to_rest()
    with there.world.database.read() as session:
        assert not session.scalars(select(RestoredShop)).all()


def test_a_left_shop_keeps_its_key_until_its_lists_are_read(there: Restorable) -> None:
    [shop] = without_shops(there)
    there.world.database.transact(lambda tx: tx.session.execute(insert(FormerCredential), [_left(shop)]) and None)
    there.back_up()
    there.restore()
    there.world.database.transact(forget_left_accounts, there.world.now)
    assert len(there.lacking()) == 2
    there.come_to_rest()
    assert not there.lacking()
    there.world.database.transact(forget_left_accounts, there.world.now)
    with there.world.database.read() as session:
        assert not session.scalars(select(FormerCredential)).all()


def test_a_shop_that_was_taken_away_keeps_no_restore_open(there: Restorable) -> None:
    there.back_up()
    there.restore()
    without_shops(there)
    there.world.clock.advance(2)
    there.come_to_rest()
    assert not there.lacking()


@pytest.mark.both_databases
def test_a_snapshot_put_back_by_other_means_is_told_by_hand(there: Restorable) -> None:
    there.takes_money("immediate")
    till = there.till
    order_id = till.paid()
    till.world.publish(order_id)
    there.stop_workers()
    there.world.clock.advance(60)
    programs.note_snapshot(till.cloud, there.world.now)
    there.come_to_rest()
    till.world.wait(till.world.rules.ack_timeout_s + till.world.rules.uncertain_grace_s + 5)
    till.world.wait(till.world.rules.uncertain_grace_s + 5)
    there.come_to_rest()
    assert till.booked(order_id)["refunded"] == 0
    with there.world.database.read() as session:
        [restore] = session.scalars(select(Restore))
    assert restore.finished_at is not None


@pytest.mark.parametrize("by_other_means", [False, True])
def test_everybody_is_logged_out_by_a_restore(there: Restorable, by_other_means: bool) -> None:
    world = there.world
    token = world.database.transact(_log_in, world.now)
    there.back_up()
    assert _is_logged_in(there, token)
    if by_other_means:
        there.stop_workers()
        programs.note_snapshot(there.till.cloud, world.now)
    else:
        there.restore()
    assert not _is_logged_in(there, token)


def test_what_must_be_taken_away_again_is_named_with_commands_there_are() -> None:
    named = re.findall(r"coffee-cloud (.+)", TAKE_AWAY)
    assert len(named) == 7
    for words in named:
        shown = CliRunner().invoke(main, [*takewhile(str.islower, words.split()), "--help"])
        assert shown.exit_code == 0, words
        assert all(option in shown.output for option in re.findall(r"--[a-z-]+", words)), words


def _log_in(tx: Transaction, now: datetime) -> str:
    user = users.add(tx, "ann@example.com", "Ann", now, asks_second_factor=False)
    return sessions.begin(tx, user, "", "", now, complete=True)


def _is_logged_in(there: Restorable, token: str) -> bool:
    with there.world.database.read() as session:
        return sessions.find(session, token, there.world.now) is not None


def _new_machine(tx: Transaction) -> None:
    tx.session.add(Device(device_uuid="m-009", merchant_id="north", payment_scenario="Yookassa"))
    tx.session.flush()
    tx.session.add(DeviceLive(device_uuid="m-009", online=True, session_id="s1"))
    tx.session.add(Drink(device_uuid="m-009", drink_no="latte", name="Латте", price_medium=PRICE))
