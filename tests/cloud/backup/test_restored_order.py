"""An order that was uncertain at the backup: nothing of it goes back before its machine, or a person, has spoken."""

from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from cloud.alerts.money_conditions import money_at_risk
from cloud.backup import programs
from cloud.fleet import closing
from cloud.orders import after_restore, operator_actions
from cloud.orders.after_restore import LATELY
from cloud.orders.at_risk import Next
from cloud.orders.states import Status
from cloud.orders.tasks import RETURNS, STOPPED, Task
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.backup.restoring import Restorable
from tests.cloud.backup.test_restored import CAPTURES, DAY_S, actions, booked
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE

pytestmark = [pytest.mark.any_database, pytest.mark.parametrize("capture", CAPTURES)]

RETURNED = {"on_dispense": (0, 0, 0), "immediate": (0, PRICE, PRICE)}
KEPT = {"on_dispense": (PRICE, 0, 0), "immediate": (0, PRICE, 0)}


@pytest.fixture
def there(till: Till, tmp_path: Path, capture: str) -> Restorable:
    made = Restorable(till, tmp_path)
    made.takes_money(capture)
    return made


def silent(there: Restorable) -> str:
    """An order whose machine says nothing; its id."""
    world = there.world
    order_id = there.till.paid()
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s + 1)
    assert world.open_tasks(order_id, *RETURNS)
    return order_id


def in_its_grace(there: Restorable) -> str:
    """The same at the backup."""
    order_id = silent(there)
    there.back_up()
    return order_id


def restored_in_its_grace(there: Restorable, after_s: float = 3600.0) -> str:
    """The same, put back later; nobody has spoken."""
    order_id = in_its_grace(there)
    there.world.clock.advance(after_s)
    there.restore()
    there.come_to_rest()
    return order_id


@pytest.mark.both_databases
@pytest.mark.parametrize("after_s", [60.0, pytest.param(3600.0, marks=pytest.mark.long)])
def test_nothing_goes_back_before_its_machine_has_spoken(there: Restorable, capture: str, after_s: float) -> None:
    order_id = restored_in_its_grace(there, after_s)
    assert booked(there, order_id) == KEPT[capture]
    assert actions(there) == {Next.WAITING_FOR_EVIDENCE}
    assert there.world.money_back(order_id) is None, "nobody tells the buyer that it goes back"
    with there.world.database.read() as session:
        assert money_at_risk(session, there.world.now) == []
    there.world.clock.advance(DAY_S)
    there.come_to_rest()
    assert booked(there, order_id) == KEPT[capture]
    assert actions(there) == {Next.PERSON}


def test_what_was_poured_stays_paid(there: Restorable, capture: str) -> None:
    order_id = restored_in_its_grace(there)
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    order = there.world.order(order_id)
    assert (order.status, order.goodwill) == (Status.SUCCESSFUL, False)
    assert booked(there, order_id) == (0, PRICE, 0)
    assert there.till.verdicts(order_id, *RETURNS) == [STOPPED]
    assert not actions(there)
    assert there.world.money_back(order.id) is None


def test_what_a_person_has_seen_poured_stays_paid(there: Restorable, capture: str) -> None:
    order_id = restored_in_its_grace(there)
    there.world.database.transact(operator_actions.keep_money, order_id, "boss", "the camera", there.world.now)
    there.come_to_rest()
    assert booked(there, order_id) == (0, PRICE, 0)
    assert not actions(there)


@pytest.mark.parametrize("who", ["machine", "person"])
def test_what_is_decided_to_go_back_goes_at_once_and_once(there: Restorable, capture: str, who: str) -> None:
    order_id, world = restored_in_its_grace(there), there.world
    if who == "machine":
        there.says(order_id, Result.REJECTED, "no_water")
    else:
        world.database.transact(operator_actions.give_back, order_id, None, "boss", "no cup", world.now)
    there.till.work()
    assert booked(there, order_id) == RETURNED[capture]
    there.come_to_rest()
    assert len(there.till.verdicts(order_id, *RETURNS)) == 1
    assert not actions(there)


def test_a_machine_that_cannot_tell_begins_the_grace_anew(there: Restorable, capture: str) -> None:
    order_id, world = restored_in_its_grace(there), there.world
    there.says(order_id, Result.UNKNOWN)
    there.till.work()
    assert booked(there, order_id) == KEPT[capture]
    assert actions(there) == {Next.WAITING_FOR_EVIDENCE}
    world.clock.advance(world.rules.uncertain_grace_s)
    there.come_to_rest()
    assert booked(there, order_id) == RETURNED[capture]
    assert not actions(there)


@pytest.mark.parametrize("is_poured", [True, False])
def test_what_went_back_since_the_backup_is_found_by_asking(there: Restorable, capture: str, is_poured: bool) -> None:
    order_id = in_its_grace(there)
    world = there.world
    world.wait(world.rules.uncertain_grace_s)
    there.till.work()
    assert booked(there, order_id) == RETURNED[capture]
    world.clock.advance(3600)
    there.restore()
    if is_poured:  # it says so before anybody was asked
        there.says(order_id, Result.DONE)
    there.come_to_rest()
    assert booked(there, order_id) == RETURNED[capture]
    assert not world.open_tasks(order_id, *RETURNS)
    assert world.order(order_id).goodwill == is_poured
    assert not actions(there)


def test_what_had_expired_here_before_its_payment_was_found_is_asked_about(there: Restorable, capture: str) -> None:
    """Unpaid at the backup and poured since: a payment found in time is no reason to return what it paid."""
    till, world = there.till, there.world
    order_id = world.scan()
    world.clock.advance(world.rules.order_expiration_s - 60)
    there.back_up()
    till.press(order_id)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    world.publish(order_id)
    world.clock.advance(120)
    there.restore()
    world.wait(0)
    assert world.status(order_id) == Status.FAILED
    there.come_to_rest()
    assert booked(there, order_id) == KEPT[capture]
    there.says(order_id, Result.DONE)
    assert world.status(order_id) == Status.SUCCESSFUL


@pytest.mark.parametrize("why", ["closed", "no broker"])
def test_what_gets_no_command_any_more_is_asked_about(there: Restorable, capture: str, why: str) -> None:
    """Its payment was open at the backup; since then it was paid and poured, and its machine has said so."""
    till, world = there.till, there.world
    order_id = till.open_payment()
    there.back_up()
    till.buyer_pays(order_id)
    till.look_at(order_id)
    world.publish(order_id)
    there.says(order_id, Result.DONE)
    till.work()
    world.clock.advance(30)
    there.restore()
    if why == "closed":
        world.database.transact(closing.close, DEVICE, "", "boss", "a leak", world.now)
    there.come_to_rest()
    world.wait(world.rules.make_deadline_s + 1)
    there.come_to_rest()
    assert world.status(order_id) == Status.MAKE_FAILED
    assert booked(there, order_id) == (0, PRICE, 0)
    assert world.open_tasks(order_id, Task.QUERY)
    assert actions(there) == {Next.WAITING_FOR_EVIDENCE}
    there.says(order_id, Result.DONE)
    assert world.status(order_id) == Status.SUCCESSFUL


def test_what_is_paid_since_the_restore_and_gets_no_command_goes_back_at_once(there: Restorable, capture: str) -> None:
    till, world = there.till, there.world
    order_id = world.scan()
    there.back_up()
    world.clock.advance(30)
    there.restore()
    world.clock.advance(1)
    till.open_payment(order_id)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    world.wait(world.rules.make_deadline_s + 1)
    till.work()
    assert (world.status(order_id), world.order(order_id).uncertain) == (Status.MAKE_FAILED, False)
    assert booked(there, order_id) == RETURNED[capture]


def doubts(there: Restorable, order_id: str) -> int:
    """How often a restore has begun to ask about it."""
    return [change.event for change in there.world.history(order_id)].count("database_restored")


@pytest.mark.parametrize("days", [1, 30])
def test_what_was_back_long_before_the_backup_is_left_alone(there: Restorable, capture: str, days: int) -> None:
    """Every order of 400 days that had ended without a word was asked about anew, and none began before."""
    order_id, world = silent(there), there.world
    world.wait(world.rules.uncertain_grace_s)
    there.come_to_rest()
    world.clock.advance(days * DAY_S)
    there.back_up()
    there.restore()
    assert doubts(there, order_id) == (days < LATELY.days)
    there.come_to_rest()
    assert booked(there, order_id) == RETURNED[capture]


def test_a_return_that_hung_since_long_before_the_backup_is_in_doubt(there: Restorable, capture: str) -> None:
    """It may have come through since."""
    order_id, world = silent(there), there.world
    there.till.fault(FaultKind.ERROR_500, Endpoint.CANCEL if capture == "on_dispense" else Endpoint.REFUND, times=None)
    world.wait(world.rules.uncertain_grace_s)
    there.come_to_rest()
    world.clock.advance(30 * DAY_S)
    there.back_up()
    there.restore()
    assert doubts(there, order_id) == 1


def test_several_programs_may_mark_what_was_restored_and_one_may_be_cut_off(
    there: Restorable, capture: str, mocker: MockerFixture
) -> None:
    mocker.patch.object(after_restore, "AT_ONCE", 1)
    orders = [silent(there) for _ in range(3)]
    there.back_up()
    mocker.patch.object(programs, "begin_what_was_restored")
    there.restore()
    world = there.world
    ends = [world.database.transact(after_restore.begin_restores, world.rules, world.now) for _ in range(4)]
    assert ends == [False, False, False, True]
    assert [doubts(there, order_id) for order_id in orders] == [1, 1, 1]
    asked = [row.attempts for order_id in orders for row in world.rows(order_id) if row.key.startswith("asked-")]
    assert asked == [0, 0, 0], "since the restore, so it was certainly not sent yet"


def test_nobody_waits_to_decide_about_what_was_back_at_the_backup(there: Restorable, capture: str) -> None:
    order_id, world = silent(there), there.world
    world.wait(world.rules.uncertain_grace_s)
    there.come_to_rest()
    assert booked(there, order_id) == RETURNED[capture]
    there.back_up()
    world.clock.advance(3600)
    there.restore()
    there.come_to_rest()
    assert not world.order(order_id).waits_for_person
    assert not actions(there)
