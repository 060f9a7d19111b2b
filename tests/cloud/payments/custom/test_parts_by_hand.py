"""Parts of a drink's money that a person returns at a merchant without `action_url`, one after the other."""

import logging
from collections.abc import Iterator

import pytest

from cloud.orders import operator_actions
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.payments.custom_till import CustomTill, a_custom_till
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import PRICE, World

pytestmark = pytest.mark.any_database
A_PERSON_MUST = "a person must do it there: refund"


@pytest.fixture
def till(world: World) -> Iterator[CustomTill]:
    with a_custom_till(world, ("status_url",)) as made:
        yield made


def give_back(till: CustomTill, order_id: str, kopecks: int | None) -> None:
    world = till.world
    world.database.transact(operator_actions.give_back, order_id, kopecks, "op@example.org", "sour", world.now)
    till.work()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    words = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    return words


def buyer_reads(world: World, order_id: str) -> tuple[str, int] | None:
    found = world.money_back(order_id)
    return (found.status, found.amount) if found else None


@pytest.mark.parametrize("second", [4000, 5000])
def test_each_part_is_told_of_once_and_found_by_asking(
    till: CustomTill, caplog: pytest.LogCaptureFixture, second: int
) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    give_back(till, order_id, 5000)
    assert told(caplog) == [A_PERSON_MUST]
    till.merchant.books.refund(till.name(order_id), "by-anna-1", 5000)
    till.work(3600)
    till.work(3600)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": 5000}
    assert till.world.payment(order_id).next_check_at is None

    give_back(till, order_id, second)
    till.work(3600)
    till.work(3600)
    assert told(caplog) == [A_PERSON_MUST]
    left = [(row.verdict, row.amount, row.attempts) for row in till.world.rows(order_id, Task.REFUND)]
    assert left == [("by_hand", 5000, 1), ("by_hand", second, 0)]
    till.merchant.books.refund(till.name(order_id), "by-anna-2", second)
    till.work(3600)
    till.work(3600)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": 5000 + second}
    assert till.world.payment(order_id).next_check_at is None
    with till.world.database.read() as session:
        assert at_risk(session, till.world.now) == []


def test_a_part_decided_before_the_first_is_back_is_told_of_with_it(
    till: CustomTill, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    give_back(till, order_id, 5000)
    till.work(3600)
    give_back(till, order_id, 4000)
    assert told(caplog) == [A_PERSON_MUST] * 2
    till.merchant.books.refund(till.name(order_id), "by-anna-1", 5000)
    till.work(3600)
    assert buyer_reads(till.world, order_id) == ("in_progress", 4000), "not what is back already"
    till.merchant.books.refund(till.name(order_id), "by-anna-2", 4000)
    till.work(3600)
    assert (told(caplog), buyer_reads(till.world, order_id)) == ([], ("done", 9000))
    assert [row.amount for row in till.world.rows(order_id, Task.REFUND)] == [5000, 9000]
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": 9000}


def test_what_is_left_to_a_person_once_more_is_asked_about_once_more(till: CustomTill) -> None:
    """Regression: after the late "done" nobody asked any more, and the return that was then decided was never found."""
    world, order_id = till.world, till.paid()
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.wait(world.rules.uncertain_grace_s)
    till.work(3600)
    world.report(order_id, Result.DONE, revision=2)
    till.work(3600)
    till.work(3600)
    assert world.payment(order_id).next_check_at is None
    give_back(till, order_id, None)
    till.merchant.books.refund(till.name(order_id), "by-anna-1", PRICE)
    till.work(3600)
    till.work(3600)
    assert world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


def test_less_than_was_left_to_a_person_is_told_of_too(till: CustomTill, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: a part decided after the late "done" was told to nobody, and its buyer was promised all of it."""
    world, order_id = till.world, till.paid()
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.wait(world.rules.uncertain_grace_s)
    till.work(3600)
    assert (told(caplog), buyer_reads(world, order_id)) == ([A_PERSON_MUST], ("in_progress", PRICE))
    world.report(order_id, Result.DONE, revision=2)
    give_back(till, order_id, 4000)
    assert (told(caplog), buyer_reads(world, order_id)) == ([A_PERSON_MUST], ("in_progress", 4000))
    till.merchant.books.refund(till.name(order_id), "by-anna-1", 4000)
    till.work(3600)
    till.work(3600)
    assert (told(caplog), buyer_reads(world, order_id)) == ([], ("done", 4000))
