"""Make commands of machines without an agent, sent to a simulated Tmetr that counts its cups."""

import logging
from collections.abc import Iterator

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import update

from cloud.courier.outgoing import LEASE_S
from cloud.courier.tmetr.client import TmetrClient
from cloud.database.transaction import Transaction
from cloud.orders import making, outbox
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.pour_again import pour_again
from cloud.orders.tasks import Lane, Task
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig, failure_told
from tests.cloud.worlds import DEVICE, ONE_STAGE, PRICE, World
from tests.programs import free_port
from tests.waiting import wait_until


@pytest.fixture
def rig(world: World) -> Iterator[TmetrRig]:
    with a_tmetr_rig(world) as made:
        yield made


@pytest.fixture
def sqlite_rig(sqlite_world: World) -> Iterator[TmetrRig]:
    with a_tmetr_rig(sqlite_world) as made:
        yield made


def lanes(world: World, order_id: str) -> list[str]:
    return [row.lane for row in world.rows(order_id, Task.MAKE)]


def test_a_command_takes_the_lane_of_its_machine(sqlite_rig: TmetrRig) -> None:
    world = sqlite_rig.world
    assert lanes(world, world.pay()) == [Lane.TMETR]
    sqlite_rig.change(control="agent")
    assert lanes(world, world.pay()) == [Lane.MQTT]


@pytest.mark.any_database
def test_a_paid_order_is_forwarded_once_and_is_then_only_sent(rig: TmetrRig) -> None:
    order_id = rig.world.pay()
    for _ in range(3):
        rig.send(5)
    order = rig.world.order(order_id)
    assert (order.status, order.stage) == ("make_pending", "sent"), "forwarded is never made"
    [cup] = rig.tmetr.cups(order_id)
    assert (cup.device_id, cup.drink, cup.size, cup.price) == (DEVICE, "latte", "MEDIUM", PRICE)
    assert (rig.makes(), rig.verdict(order_id)) == (1, "done")


def test_a_step_that_stood_still_takes_no_command_that_another_is_sending(sqlite_rig: TmetrRig) -> None:
    """It took it, and called the order's end unknown."""
    world, began = sqlite_rig.world, sqlite_rig.world.now
    world.clock.advance(300)
    order_id = world.pay()
    world.database.transact(outbox.claim, Lane.TMETR, world.now, Lease("another", LEASE_S))
    sqlite_rig.sender.step(began)
    [row] = world.rows(order_id, Task.MAKE)
    assert (row.claimed_by, row.settled_at, world.status(order_id)) == ("another", None, "paid")


@pytest.mark.any_database
def test_a_free_drink_is_asked_for_at_the_price_of_the_first_and_is_no_sale(rig: TmetrRig) -> None:
    """Regression: Tmetr refused its price of nothing, and no drink could be poured again."""
    rig.change(unobserved="trust")
    world, first = rig.world, rig.world.pay()
    rig.send()
    again = world.database.transact(pour_again, first, "anna", "it was cold", world.rules, world.now)
    rig.send()
    assert [cup.price for cup in rig.tmetr.cups(again)] == [PRICE]
    order = world.order(again)
    assert (order.status, order.price, order.is_test) == ("successful", 0, True)
    assert world.ledger(again) == {}


def test_a_command_of_before_the_clock_was_set_back_is_not_forwarded(sqlite_rig: TmetrRig) -> None:
    order_id = sqlite_rig.world.pay(account=ONE_STAGE)
    sqlite_rig.send(-600.0)
    order = sqlite_rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert sqlite_rig.makes() == 0


def test_silence_after_forwarding_returns_the_money_after_the_grace(rig: TmetrRig) -> None:
    """The default policy: nobody can say that it was made, so it is not charged for."""
    order_id = rig.world.pay()
    rig.send()
    rig.world.wait(rig.world.rules.ack_timeout_s + 1)
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "no_ack", True)
    rig.world.wait(rig.world.rules.uncertain_grace_s + 1)
    assert "cancel" in rig.world.open_tasks(order_id)
    rig.send(60)
    assert rig.makes() == 1


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.UNAUTHORIZED])
def test_a_refusal_fails_the_order_at_once_with_everything_in_the_log(
    rig: TmetrRig, kind: FaultKind, caplog: pytest.LogCaptureFixture
) -> None:
    rig.tmetr.fault(kind, Endpoint.MAKE, times=None)
    order_id = rig.world.pay(account=ONE_STAGE)
    with caplog.at_level(logging.ERROR):
        rig.send()
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert rig.world.open_tasks(order_id) == ["refund"]
    [told] = failure_told(caplog, order_id)
    assert (vars(told)["device"], vars(told)["price"], vars(told)["drink_no"]) == (DEVICE, PRICE, "latte")
    rig.send(10)
    assert (rig.makes(), rig.tmetr.cups()) == (1, [])


@pytest.mark.any_database
def test_a_tmetr_that_cannot_be_reached_is_tried_until_the_deadline(
    rig: TmetrRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.sender = rig.a_sender("courier", f"http://127.0.0.1:{free_port()}")
    order_id = rig.world.pay()
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            rig.send(10)
            assert rig.world.status(order_id) == "paid"
        rig.world.wait(15)
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert rig.world.open_tasks(order_id) == ["cancel"]
    assert len(failure_told(caplog, order_id)) >= 2
    rig.sender = rig.a_sender("courier")
    rig.send(5)
    assert rig.makes() == 0, "a command whose deadline has passed is never sent"


def test_a_tmetr_that_comes_back_in_time_gets_the_command(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    order_id = rig.world.pay()
    rig.a_sender("courier", f"http://127.0.0.1:{free_port()}").step(rig.world.now)
    rig.send(1)
    assert rig.makes() == 0, "not at once again"
    rig.send(1)
    assert rig.world.status(order_id) == "make_pending"
    assert len(rig.tmetr.cups(order_id)) == 1


def test_a_tmetr_that_is_asked_too_often_is_asked_again(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    rig.tmetr.fault(FaultKind.TOO_MANY_REQUESTS, Endpoint.MAKE)
    order_id = rig.world.pay()
    rig.send()
    assert rig.world.status(order_id) == "paid"
    rig.send(2)
    assert rig.world.status(order_id) == "make_pending"


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.RESET, FaultKind.ERROR_500, FaultKind.HTML_502])
@pytest.mark.parametrize("after_act", [False, True])
def test_a_command_that_may_have_been_heard_is_uncertain_and_never_sent_again(
    sqlite_rig: TmetrRig, kind: FaultKind, after_act: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    rig.tmetr.fault(kind, Endpoint.MAKE, after_act=after_act)
    if kind is FaultKind.HANG:
        rig.be_hasty()
    order_id = rig.world.pay()
    with caplog.at_level(logging.ERROR):
        rig.send()
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", True)
    assert "cancel" not in rig.world.open_tasks(order_id) or order.return_after is not None
    assert failure_told(caplog, order_id)
    for _ in range(4):
        rig.send(20)
    rig.world.wait(rig.world.rules.uncertain_grace_s)
    rig.send(1)
    wait_until(rig.makes, what="what was asked to come in")
    assert rig.makes() == 1
    assert len(rig.tmetr.cups(order_id)) <= 1
    assert rig.world.order(order_id).return_after is None, "the money is on its way back"


@pytest.mark.any_database
@pytest.mark.parametrize("was_sent", [True, False])
def test_a_sender_that_dies_with_the_command_in_hand_leaves_it_unsent_for_ever(
    rig: TmetrRig, was_sent: bool, mocker: MockerFixture
) -> None:
    """The next one cannot know whether the bytes left: it must not send them."""
    order_id = rig.world.pay()
    dying = rig.a_sender("dying")
    make = TmetrClient.make

    def die(client: TmetrClient, *asked: object, **how: object) -> None:
        if was_sent:
            make(client, *asked, **how)  # type: ignore[arg-type]  # handed on as it came
        raise SystemExit

    patched = mocker.patch.object(TmetrClient, "make", autospec=True, side_effect=die)
    with pytest.raises(SystemExit):
        dying.step(rig.world.now)
    mocker.stop(patched)
    rig.send(10)
    assert rig.world.status(order_id) == "paid", "its lease still stands"
    rig.send(25)
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", True)
    assert len(rig.tmetr.cups(order_id)) == was_sent


def test_an_unexpected_error_is_logged_and_leaves_the_order_uncertain(
    sqlite_rig: TmetrRig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    mocker.patch.object(TmetrClient, "make", side_effect=KeyError("a bug of ours"))
    order_id = rig.world.pay()
    with caplog.at_level(logging.ERROR):
        rig.send()
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", True)
    assert any(record.exc_info for record in failure_told(caplog, order_id))


def test_an_answer_after_the_deadline_sends_nothing_more(sqlite_rig: TmetrRig, mocker: MockerFixture) -> None:
    """The clock judged the order while the call was under way: late news is for the books only."""
    rig = sqlite_rig
    order_id = rig.world.pay()
    make = TmetrClient.make

    def slowly(client: TmetrClient, *asked: object, **how: object) -> object:
        rig.world.wait(rig.world.rules.make_deadline_s + 1)
        return make(client, *asked, **how)  # type: ignore[arg-type]  # handed on as it came

    mocker.patch.object(TmetrClient, "make", autospec=True, side_effect=slowly)
    rig.send()
    order = rig.world.order(order_id)
    assert (order.status, order.uncertain, rig.makes()) == ("make_failed", True, 1)


def test_a_command_found_after_its_deadline_is_not_sent(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    order_id = rig.world.pay()
    rig.send(rig.world.rules.make_deadline_s)
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert (rig.makes(), rig.world.open_tasks(order_id)) == (0, ["cancel"])


def test_a_command_no_sender_took_in_time_is_told_without_a_broker(
    sqlite_rig: TmetrRig, caplog: pytest.LogCaptureFixture
) -> None:
    world = sqlite_rig.world
    order_id = world.pay()
    world.wait(world.rules.make_deadline_s)
    [told] = failure_told(caplog, order_id)
    assert told.getMessage() == "make command not sent: not handed over before its deadline"


def test_a_command_no_longer_wanted_is_not_sent(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    order_id = rig.world.pay()
    command = rig.world.command(order_id)
    rig.world.database.transact(
        making.record_not_sent, command.order_id, command.id, "taken back", rig.world.rules, rig.world.now, certain=True
    )
    rig.send()
    assert (rig.makes(), rig.verdict(order_id)) == (0, "void")


def test_two_senders_never_send_the_same_command_twice(rig: TmetrRig) -> None:
    senders = [rig.a_sender(f"courier-{n}", slots=4) for n in range(2)]
    orders = [rig.world.pay() for _ in range(6)]

    def work() -> bool:
        for sender in senders:
            sender.step(rig.world.now)
        return all(rig.world.status(order_id) == "make_pending" for order_id in orders)

    wait_until(work, what="six coffees to be forwarded")
    assert [len(rig.tmetr.cups(order_id)) for order_id in orders] == [1] * 6
    for sender in senders:
        sender._pool.close()


def test_what_is_due_at_the_broker_is_left_alone(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    rig.change(control="agent")
    order_id = rig.world.pay()
    rig.send()
    assert (rig.makes(), rig.world.status(order_id)) == (0, "paid")


def test_a_lease_that_ran_out_before_the_call_is_not_used(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    order_id = rig.world.pay()
    rows, _ = rig.world.database.transact(rig.sender._take, 1)
    rig.world.clock.advance(31)
    rig.sender._send(rows[0])
    assert (rig.makes(), rig.world.status(order_id)) == (0, "paid")
    rig.send(2)
    assert rig.world.status(order_id) == "make_pending"


def test_a_row_of_an_earlier_attempt_without_an_answer_is_judged_not_sent(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    order_id = rig.world.pay()
    rig.world.database.transact(
        Transaction.execute,
        update(OutboxRow).where(OutboxRow.order_id == order_id, OutboxRow.task == "make").values(attempts=3, undone=2),
    )
    rig.send()
    assert (rig.makes(), rig.verdict(order_id)) == (0, "unknown")
