"""Whole orders at a merchant with its own page: poured and paid, or returned, whatever the merchant's server does."""

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.operators.forget_buyer import forget_buyer
from cloud.orders import operator_actions
from cloud.orders.at_risk import Next
from cloud.orders.models import Movement
from cloud.orders.tasks import Task
from cloud.payments.models import ERASED, StoredNotification
from cloud.payments.outcomes import Ok, Unknown
from protocol.reasons import Result
from simulator.custom.books import Status
from simulator.custom.faults import Fault, Kind, Where
from tests.cloud.payments.custom_till import ACCOUNT, CustomTill, a_custom_till
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import PRICE, World

pytestmark = pytest.mark.any_database

SHAKY = [
    Kind.ERROR_500,
    Kind.HTML,
    Kind.RESET,
    Kind.UNSIGNED,
    Kind.WRONG_KEY,
    Kind.OLD_NONCE,
    Kind.FORBIDDEN,
    Kind.TOO_MANY,
]


@pytest.fixture
def sqlite_till(sqlite_world: World) -> Iterator[CustomTill]:
    with a_custom_till(sqlite_world) as made:
        yield made


@pytest.fixture
def status_only(sqlite_world: World) -> Iterator[CustomTill]:
    with a_custom_till(sqlite_world, ("status_url",)) as made:
        yield made


def test_a_hold_is_taken_when_the_cup_is_poured(till: CustomTill) -> None:
    order_id = till.paid()
    assert till.world.status(order_id) == "paid"
    assert till.theirs(order_id).status is Status.HELD
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    assert (till.theirs(order_id).status, till.theirs(order_id).captured) == (Status.SUCCEEDED, PRICE)
    assert till.world.ledger(order_id) == {"held": PRICE, "captured": PRICE}


def test_a_hold_is_let_go_when_nothing_was_poured(till: CustomTill) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    assert till.theirs(order_id).status is Status.CANCELED
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}


def change_account(till: CustomTill, **values: str) -> None:
    def change(tx: Transaction) -> None:
        credential = tx.session.get_one(Credential, ("north", "Custom"))
        for name, value in values.items():
            setattr(credential, name, value)
        credential.version += 1

    till.world.database.transact(change)


def moved(till: CustomTill, order_id: str) -> dict[str, int]:
    """The ledger without the tries that moved nothing."""
    return {kind: kopecks for kind, kopecks in till.world.ledger(order_id).items() if not kind.endswith("_failed")}


def taken_and_failed(till: CustomTill) -> str:
    """Paid, the hold taken elsewhere by the merchant's people, and then nothing was poured."""
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.merchant.books.capture(till.name(order_id))
    till.hear()
    till.work()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    return order_id


def test_money_that_was_taken_goes_back(till: CustomTill) -> None:
    order_id = taken_and_failed(till)
    till.work()
    assert till.theirs(order_id).refunded == PRICE
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


@pytest.mark.both_databases
def test_a_return_that_takes_its_time_is_followed_to_its_end(till: CustomTill) -> None:
    till.merchant.books.slow_refunds = True
    order_id = taken_and_failed(till)
    till.work()
    assert till.world.open_tasks(order_id, Task.REFUND) == ["refund"]
    assert till.world.ledger(order_id) == {"captured": PRICE}
    till.merchant.books.finish_refunds(till.name(order_id))
    till.work(60)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert len(till.theirs(order_id).refunds) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", SHAKY)
def test_an_order_without_a_believable_answer_is_repeated_and_done_once(
    sqlite_till: CustomTill, kind: Kind, after: bool
) -> None:
    till = sqlite_till
    order_id = taken_and_failed(till)
    till.merchant.faults.add(Fault(kind, Where.ACTION, after=after, times=2))
    till.work()
    [row] = till.world.rows(order_id, Task.REFUND)
    assert (row.settled_at, row.attempts) == (None, 1)
    till.work(3)
    till.work(5)
    assert till.verdicts(order_id, Task.REFUND) == ["done"]
    assert [refund.amount for refund in till.theirs(order_id).refunds] == [PRICE]
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


@pytest.mark.parametrize("kind", SHAKY)
def test_a_question_without_a_believable_answer_decides_nothing_and_is_asked_again(
    sqlite_till: CustomTill, kind: Kind
) -> None:
    till = sqlite_till
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.merchant.faults.add(Fault(kind, Where.STATUS, times=2))
    till.hear()
    till.work()
    assert till.world.status(order_id) == "pending"
    till.work(3)
    till.work(5)
    assert till.world.status(order_id) == "paid"


def test_a_declined_buyer_pays_again_with_another_payment(till: CustomTill) -> None:
    order_id = till.open_payment()
    first = till.name(order_id)
    till.press(order_id, "decline")
    till.hear()
    till.work()
    assert till.world.status(order_id) == "not_paid"
    till.world.clock.advance(5)
    till.paid(order_id)
    assert till.world.status(order_id) == "paid"
    assert till.name(order_id) != first


def test_one_link_is_one_payment_however_often_it_is_opened(till: CustomTill) -> None:
    order_id = till.open_payment()
    for _ in range(3):
        till.visit(till.link(order_id))
    till.press(order_id, "pay")
    assert till.visit(till.link(order_id)).status_code == 200
    assert len(till.merchant.books.all()) == 1


def test_a_link_that_was_altered_or_is_too_old_is_refused_by_the_merchant(till: CustomTill) -> None:
    order_id = till.open_payment()
    link = till.link(order_id)
    assert till.visit(link.replace(f"amount={PRICE}", "amount=100")).status_code == 403
    till.world.clock.advance(3601)
    assert till.visit(link).status_code == 410


@pytest.mark.both_databases
def test_a_page_with_parameters_of_its_own_is_signed_whole(till: CustomTill) -> None:
    change_account(till, page_url=f"{till.merchant.address}/page?lang=ru")
    order_id = till.open_payment()
    assert urlsplit(till.link(order_id)).query.startswith("lang=ru&account=")
    till.press(order_id, "pay")
    assert till.visit(till.link(order_id).replace("lang=ru", "lang=en")).status_code == 403


def test_a_buyer_who_never_comes_ends_as_not_paid(till: CustomTill) -> None:
    order_id = till.world.scan()
    till.client().post("/v1/initiate-payment", json={"order_id": order_id})
    till.work(10)
    assert till.world.payment(order_id).checks == 0, "that nobody came yet is an answer"
    assert till.world.status(order_id) == "pending"
    till.work(3600)
    assert till.world.status(order_id) == "pending", "clocks differ"
    till.work(240)
    assert till.world.status(order_id) == "not_paid"


def test_money_that_does_not_fit_pours_nothing_and_goes_back(sqlite_till: CustomTill) -> None:
    till = sqlite_till
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.merchant.books.capture(till.name(order_id))
    till.merchant.faults.add(Fault(Kind.WRONG_AMOUNT, Where.STATUS))
    till.hear()
    till.work()
    assert (till.world.status(order_id), till.world.commands(order_id)) == ("failed", [])
    till.work(120)
    assert till.theirs(order_id).refunded > 0


# A merchant who only calls back: the signed callback is the fact.


def test_without_a_status_address_the_signed_callback_is_the_fact(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.work(2)
    assert till.world.status(order_id) == "pending"
    assert till.hear() == [200]
    till.work()
    assert till.world.status(order_id) == "paid"
    assert till.world.ledger(order_id) == {"captured": PRICE}


def movements(till: CustomTill, order_id: str) -> list[str]:
    with till.world.database.read() as session:
        told = select(Movement.kind).where(Movement.order_id == order_id).order_by(Movement.id)
        return list(session.scalars(told))


def at_risk_now(till: CustomTill) -> dict[Next, int]:
    with till.world.database.read() as session:
        return {risk.action: risk.kopecks for risk in at_risk(session, till.world.now)}


def return_progress(till: CustomTill, order_id: str) -> str:
    """What the buyer is told of the money."""
    told = till.world.money_back(order_id)
    return told.status if told is not None else ""


def test_a_return_there_is_a_persons_task_said_once_and_at_risk_until_it_is_done(
    callbacks_only: CustomTill, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: it was promised anew each hour for ever, with a failed row in the ledger and an error each time."""
    till = callbacks_only
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    with caplog.at_level(logging.ERROR):
        till.work()
        for _ in range(30):
            till.work(3600)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["a person must do it there: refund"]
    assert [row.verdict for row in till.world.rows(order_id, Task.REFUND)] == ["by_hand"]
    assert movements(till, order_id) == ["captured", "refund_failed"]
    assert at_risk_now(till) == {Next.PERSON: PRICE}
    assert return_progress(till, order_id) == "in_progress"

    till.merchant.books.refund(till.name(order_id), "by-anna-7", 5000)
    assert till.hear() == [200]
    till.work()
    assert at_risk_now(till) == {Next.PERSON: PRICE - 5000}
    till.merchant.books.refund(till.name(order_id), "by-anna-8", PRICE - 5000)
    assert till.hear() == [200]
    till.work()
    assert moved(till, order_id) == {"captured": PRICE, "refunded": PRICE}
    assert [row.verdict for row in till.world.rows(order_id, Task.REFUND)] == ["by_hand"], "nothing was promised anew"
    assert (at_risk_now(till), return_progress(till, order_id)) == ({}, "done")
    till.work(3600)
    assert till.world.payment(order_id).next_check_at is None, "and nobody asks any more"


def test_a_part_a_person_decided_to_return_there_is_a_persons_task_too(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.world.database.transact(operator_actions.give_back, order_id, 5000, "op@example.org", "sour", till.world.now)
    till.work()
    till.work(7200)
    assert [row.verdict for row in till.world.rows(order_id, Task.REFUND)] == ["by_hand"]
    assert at_risk_now(till) == {Next.PERSON: 5000}
    till.merchant.books.refund(till.name(order_id), "by-anna-7", 5000)
    assert till.hear() == [200]
    till.work()
    assert at_risk_now(till) == {}
    till.work(3600)
    assert till.world.payment(order_id).next_check_at is None


def test_with_a_status_address_alone_a_return_by_hand_is_found_by_asking(status_only: CustomTill) -> None:
    till = status_only
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    till.merchant.books.refund(till.name(order_id), "by-anna-7", PRICE)
    till.work(3600)
    assert moved(till, order_id) == {"captured": PRICE, "refunded": PRICE}
    assert till.world.open_tasks(order_id, Task.REFUND) == []


def test_money_given_back_after_its_buyer_was_forgotten_is_booked_all_the_same(callbacks_only: CustomTill) -> None:
    till, world = callbacks_only, callbacks_only.world
    order_id = till.paid()
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    till.work()
    world.database.transact(forget_buyer, order_id, "anna", "asked", world.now)
    assert not any("bank_card" in notification.body for notification in till.notifications())
    till.merchant.books.refund(till.name(order_id), "by-hand-1", PRICE)
    assert till.hear() == [200]
    till.work()
    assert world.payment(order_id).refunded == PRICE


def test_callbacks_that_an_older_program_erased_are_not_taken_for_a_payment_nobody_made(
    callbacks_only: CustomTill,
) -> None:
    till, world = callbacks_only, callbacks_only.world
    order_id = till.paid()
    world.database.transact(lambda tx: tx.session.execute(update(StoredNotification).values(body=ERASED)))
    world.clock.advance(30 * 24 * 3600)
    client = till.shops.of_account(ACCOUNT, "Custom")
    assert client is not None
    assert isinstance(client.fetch(till.name(order_id)), Unknown)


def test_a_payment_never_called_back_is_over_a_day_after_its_time(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    till.work(24 * 3600)
    assert till.world.status(order_id) == "pending"
    till.work(3600 + 60)
    assert till.world.status(order_id) == "not_paid"


def test_money_taken_after_the_end_is_a_matter_for_a_person(
    callbacks_only: CustomTill, caplog: pytest.LogCaptureFixture
) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.work(26 * 3600)
    assert till.world.status(order_id) == "not_paid"
    assert till.hear() == [200]
    assert "money was taken for a payment that was over" in caplog.text
    assert till.world.commands(order_id) == []


# The self-check, and what is not offered


def test_the_self_check_finds_a_wrong_key(sqlite_till: CustomTill) -> None:
    till = sqlite_till
    client = till.shops.of("north", "Custom")[1]
    outcome = client.me()
    assert isinstance(outcome, Ok)
    assert outcome.value.account_id == "north-coffee"
    till.merchant.change_secret("another-agreed-secret-of-many-characters")
    assert type(client.me()).__name__ == "AuthError"
    assert "agreed" not in repr(client)


def test_a_new_key_is_used_from_the_next_call_on_also_for_calls_stored_before(sqlite_till: CustomTill) -> None:
    till = sqlite_till
    order_id = taken_and_failed(till)
    till.merchant.faults.add(Fault(Kind.ERROR_500, Where.ACTION))
    till.work()
    till.merchant.change_secret("another-agreed-secret-of-many-characters")
    till.work(2)
    assert till.theirs(order_id).refunded == 0

    change_account(till, secret=till.world.vault.lock("another-agreed-secret-of-many-characters"))
    till.work(10)
    assert till.theirs(order_id).refunded == PRICE
