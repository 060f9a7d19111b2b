"""Before paying: the machine is asked, and one slot is sold to one buyer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from cloud.buyer import reservation
from cloud.buyer.order_view import CHECKING, RESERVED
from cloud.buyer.readiness import Asking
from cloud.buyer.reservation import Presser
from cloud.buyer.services import Services
from cloud.database.database import Database
from cloud.fleet import probes
from cloud.orders.money import PaymentState
from protocol.reasons import Result, Spout
from tests.cloud.buyer.orders import DEVICE, PRICE, RULES, Orders, TestClock

NO_TIME = timedelta(0)
SOON = timedelta(seconds=0.2)
PATIENT = timedelta(seconds=30)
"""For an answer that comes, on a busy machine too."""


@pytest.fixture
def asking(services: Services, orders: Orders) -> Asking:
    orders.machine_says()
    return Asking(services.database, services.clock, services.brew_times)


@contextmanager
def a_machine_that_answers(database: Database, clock: TestClock, code: str) -> Iterator[list[str]]:
    """Carries every question and answers it at once; gives the drinks that were asked about."""
    asked: list[str] = []
    over = threading.Event()
    ear = database.wakeups.waiter(probes.TOPIC)

    def work() -> None:
        while not over.is_set():
            ear.wait(0.05)
            for probe in database.transact(probes.claim, clock()):
                asked.append(probe.drink_no)
                database.transact(probes.answered, probe.device_uuid, probe.probe_id, code, clock())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        thread.join()
        ear.close()


@pytest.mark.parametrize("code", ["", "no_water", "door_open", "busy"])
def test_the_machines_own_word_counts(
    asking: Asking, orders: Orders, database: Database, clock: TestClock, code: str
) -> None:
    with a_machine_that_answers(database, clock, code) as asked:
        assert asking.of_order(orders.created(), PATIENT).code == code

    assert asked == ["cappuccino"]


def test_its_word_now_corrects_an_old_heartbeat(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    orders.machine_says(busy_order="an order that is over")
    with a_machine_that_answers(database, clock, ""):
        assert asking.of_order(orders.created(), PATIENT).code == ""


def test_a_crowd_costs_one_question(asking: Asking, orders: Orders, database: Database, clock: TestClock) -> None:
    with a_machine_that_answers(database, clock, "") as asked:
        for number in range(5):
            assert asking.of_order(orders.created(f"o-{number}"), PATIENT).code == ""
        clock.forward(probes.FRESH_FOR.total_seconds() + 1)
        assert asking.of_order("o-1", PATIENT).code == ""

    assert asked == ["cappuccino", "cappuccino"]


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_question_of_before_the_clock_was_set_back_is_asked_anew(
    asking: Asking, orders: Orders, database: Database, clock: TestClock, is_answered: bool
) -> None:
    """Its answer was the machine's word for as long as the clock was set back, and without one it was offline."""
    order_id = orders.created()
    orders.answers_probes("latte")
    if is_answered:
        with a_machine_that_answers(database, clock, ""):
            assert asking.of_order(order_id).code == ""
    else:
        asking.of_order(order_id, NO_TIME)
        assert database.transact(probes.claim, clock())

    clock.forward(-20 * 60)

    with a_machine_that_answers(database, clock, "no_water") as asked:
        assert asking.of_order(order_id).code == "no_water"
    assert asked == ["cappuccino"]


def test_rinsing_is_not_called_another_drink(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    orders.machine_says(machine="rinsing")
    with a_machine_that_answers(database, clock, "busy"):
        assert asking.of_order(orders.created(), PATIENT).code == "rinsing"


def test_a_machine_that_used_to_answer_and_is_silent_is_offline(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    orders.answers_probes("latte")
    orders.created()
    assert asking.of_order("o-1", SOON).code == CHECKING

    database.transact(probes.claim, clock())

    assert asking.of_order("o-1").code == "offline"


def test_silence_of_one_that_never_answered_says_nothing(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    orders.created()
    assert asking.of_order("o-1", NO_TIME).code == ""
    database.transact(probes.claim, clock())

    assert asking.of_order("o-1", SOON).code == ""


def test_without_a_worker_the_heartbeat_stands(asking: Asking, orders: Orders) -> None:
    orders.answers_probes("latte")
    orders.machine_says(faults=[{"code": "no_milk", "level": "block", "drinks": ["cappuccino"]}])

    assert asking.of_order(orders.created()).code == "no_milk"


def test_our_own_broken_line_is_told(asking: Asking, orders: Orders, database: Database, clock: TestClock) -> None:
    orders.created()
    asking.of_order("o-1", NO_TIME)
    for probe in database.transact(probes.claim, clock()):
        database.transact(probes.not_sent, probe.probe_id, clock())

    assert asking.of_order("o-1").code == "not_sent"


@pytest.mark.parametrize("fields", [{"status": "test"}, {"control": "tmetr-api"}])
def test_who_cannot_answer_is_not_asked(
    asking: Asking, orders: Orders, database: Database, clock: TestClock, fields: dict[str, str]
) -> None:
    orders.change_device(**fields)

    assert asking.of_order(orders.created()).code == ""
    assert database.transact(probes.claim, clock()) == []


def test_nobody_answers_for_another_machine(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    orders.created()
    asking.of_order("o-1", NO_TIME)
    [probe] = database.transact(probes.claim, clock())

    database.transact(probes.answered, "m-666", probe.probe_id, "no_water", clock())

    assert asking.of_order("o-1", NO_TIME).code == ""


# One slot, one buyer


def test_the_second_buyer_waits_and_sees_how_long(services: Services, orders: Orders, clock: TestClock) -> None:
    orders.pending("o-1")
    orders.reserves("o-1")
    clock.forward(20)
    orders.created("o-2")

    told = services.asking.of_order("o-2")

    assert told.code == RESERVED
    assert told.until == clock() + reservation.RESERVED_FOR - timedelta(seconds=20)
    assert services.asking.of_order("o-1").code == ""
    clock.forward(41)
    assert services.asking.of_order("o-2").code == ""


def test_a_second_buyer_takes_no_slot_that_is_taken(services: Services, orders: Orders, clock: TestClock) -> None:
    orders.pending("o-1")
    orders.reserves("o-1")
    orders.created("o-2")

    assert orders.database.transact(reservation.reserve, DEVICE, "o-2", clock()) is not None
    clock.forward(61)
    assert orders.database.transact(reservation.reserve, DEVICE, "o-2", clock()) is None


def test_two_at_the_same_moment_get_one_slot(services: Services, orders: Orders, clock: TestClock) -> None:
    got: list[object] = []
    names = [orders.created(f"o-{number}") for number in range(8)]
    threads = [
        threading.Thread(
            target=lambda n=name: got.append(orders.database.transact(reservation.reserve, DEVICE, n, clock()))
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got.count(None) == 1
    assert len(got) == 8


def test_who_reserves_without_paying_keeps_nobody_away_for_long(orders: Orders, clock: TestClock) -> None:
    """From afar, a new order each minute: the buyer who comes next is told to wait once, and never again."""
    far, waited = Presser("far"), []
    for number in range(5):
        assert (
            orders.database.transact(reservation.reserve, DEVICE, orders.pending(f"far-{number}"), clock(), far) is None
        )
        with orders.database.read() as session:
            until = reservation.reserved_until(session, DEVICE, "somebody else", clock())
        waited.append((until - clock()).total_seconds() if until else 0.0)
        clock.forward(61)

    assert waited == [60, 0, 0, 0, 0]


def test_misses_from_many_places_shrink_until_somebody_pays(orders: Orders, clock: TestClock) -> None:
    def held(order_id: str, origin: str) -> float:
        assert orders.database.transact(reservation.reserve, DEVICE, order_id, clock(), Presser(origin)) is None
        with orders.database.read() as session:
            until = reservation.reserved_until(session, DEVICE, "somebody else", clock())
        left = (until - clock()).total_seconds() if until else 0.0
        clock.forward(61)
        return left

    assert [held(orders.pending(f"o-{n}"), f"place {n}") for n in range(5)] == [60, 30, 15, 7.5, 0]
    orders.answered("o-4", PaymentState.CAPTURED, captured=PRICE, method="bank_card")
    assert held(orders.pending("o-5"), "place 4") == 60


def test_a_reservation_yields_to_who_stands_at_the_machine(orders: Orders, clock: TestClock) -> None:
    far, here = Presser("far", presence=1), Presser("here", presence=2)
    assert orders.database.transact(reservation.reserve, DEVICE, orders.pending("far-1"), clock(), far) is None
    assert (
        orders.database.transact(reservation.reserve, DEVICE, orders.created("far-2"), clock(), Presser("b", 1))
        is not None
    )
    assert orders.database.transact(reservation.reserve, DEVICE, orders.pending("here-1"), clock(), here) is None
    assert (
        orders.database.transact(reservation.reserve, DEVICE, "far-2", clock(), far)
        == clock() + reservation.RESERVED_FOR
    )


def test_a_declined_payment_frees_the_slot_at_once(services: Services, orders: Orders) -> None:
    orders.created("o-2")
    orders.pending("o-1")
    orders.reserves("o-1")
    assert services.asking.of_order("o-2").code == RESERVED

    orders.answered("o-1", PaymentState.CANCELED)

    assert services.asking.of_order("o-2").code == ""


def test_whoever_never_reached_the_payment_blocks_for_seconds(
    services: Services, orders: Orders, clock: TestClock
) -> None:
    orders.created("o-1")
    orders.created("o-2")
    orders.reserves("o-1")
    assert services.asking.of_order("o-2").code == RESERVED

    clock.forward(16)

    assert services.asking.of_order("o-2").code == ""


def test_a_drink_being_poured_is_waited_for_as_long_as_such_a_drink_takes(
    services: Services, orders: Orders, clock: TestClock
) -> None:
    orders.usual_cups(40)
    orders.accepted("o-1")
    clock.forward(10)
    orders.created("o-2")

    told = services.asking.of_order("o-2")

    assert (told.code, told.until) == ("busy", clock() + timedelta(seconds=30))
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)
    assert services.asking.of_order("o-2").code == ""


def test_the_place_in_the_queue_counts_those_before(services: Services, orders: Orders, clock: TestClock) -> None:
    for number in range(3):
        orders.sent(f"o-{number}")
        clock.forward(1)

    assert [services.with_forecast(services.order(f"o-{number}")).queue.ahead for number in range(3)] == [0, 1, 2]
    orders.outcome("o-0", Result.DONE, out=Spout.FULL)
    assert [services.with_forecast(services.order(f"o-{number}")).queue.ahead for number in (1, 2)] == [0, 1]


def test_an_order_that_is_not_answered_leaves_the_queue(services: Services, orders: Orders, clock: TestClock) -> None:
    orders.never_answered("o-1")
    orders.sent("o-2")

    assert RULES.ack_timeout_s
    assert services.order("o-2").queue.ahead == 0


def test_an_order_that_fits_no_frame_of_the_machine_is_not_sold(
    asking: Asking, orders: Orders, database: Database, clock: TestClock
) -> None:
    long = orders.created("q" * 200)
    with a_machine_that_answers(database, clock, ""):
        orders.machine_says(make_room=200)
        assert asking.of_order(long).code == "bad_body"
        orders.machine_says(make_room=220)
        assert asking.of_order(long).code == ""
