"""The cloud's clock is set back by hours: what was put off, or held, by the wrong one does not wait for them."""

from datetime import timedelta

import pytest

from cloud.background import heartbeat
from cloud.background.loops import ThreadPool
from cloud.buyer.reservation import reserve, reserved_until
from cloud.database.due import is_due
from cloud.orders import outbox
from cloud.orders.money import PaymentState
from cloud.orders.outbox import Lease
from cloud.orders.states import Status
from cloud.orders.tasks import Lane, Task
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.status_poller import StatusPoller
from protocol.reasons import Result
from tests.cloud.worlds import ALWAYS_THERE, DEVICE, ONE_STAGE, START, World

BACK_S = -3 * 3600.0
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("minutes", "waits", "expected"),
    [(0, 1, True), (0.1, 1, False), (2, 1, False), (2.1, 1, True), (70, 60, False), (70.1, 60, True)],
    ids=["come", "to come", "within the slack", "past it", "within ten minutes", "past them"],
)
def test_a_date_is_due_when_it_has_come_or_was_never_meant(minutes: float, waits: float, expected: bool) -> None:
    """The slack is as long as the wait, ten minutes at most."""
    assert is_due(START + minutes * MINUTE, START, waits * MINUTE) is expected


@pytest.mark.parametrize("status", [Status.CREATED, Status.PAID, Status.MAKE_PENDING, Status.MANUAL_MAKE])
def test_no_order_waits_for_the_hours_the_clock_was_set_back(world: World, status: Status) -> None:
    order_id = world.bring_to(status)
    world.wait(BACK_S)
    assert world.status(order_id) != status


def test_no_return_waits_for_them(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(76)
    assert world.order(order_id).return_after is not None
    world.wait(BACK_S)
    assert world.order(order_id).return_after is None
    assert world.open_tasks(order_id, Task.REFUND) == [Task.REFUND]


@pytest.mark.parametrize(("lane", "act"), [(Lane.MQTT, "put off"), (Lane.MQTT, "taken"), (Lane.PROVIDER, "taken")])
def test_no_act_and_no_lease_does(world: World, lane: Lane, act: str) -> None:
    order_id = world.pay(account=ONE_STAGE)
    if lane is Lane.PROVIDER:
        world.publish(order_id)
        world.report(order_id, Result.REJECTED, "no_water")
    if act == "taken":
        assert world.database.transact(outbox.claim, lane, world.now, Lease("who then dies", 30))
        assert not world.database.transact(outbox.claim, lane, world.now, Lease("another", 30))
    world.clock.advance(BACK_S)
    assert len(world.database.transact(outbox.claim, lane, world.now, Lease("another", 30))) == 1
    assert not world.database.transact(outbox.claim, lane, world.now, Lease("a third", 30)), "leases of today hold"


def test_no_payment_waits_for_them_to_be_asked_about(world: World) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id, ONE_STAGE)
    world.tell(payment_id, PaymentState.PENDING)
    shops = ProviderClients(world.database, world.vault, nobody, world.clock)
    poller = StatusPoller(world.database, shops, world.rules, ThreadPool("recheck", 0), lambda: 0.0, world.clock)

    def tries() -> int:
        poller.step(world.now)
        return world.payment(order_id).checks

    assert tries() == 0
    world.clock.advance(BACK_S)
    assert tries() == 1
    assert tries() == 1, "dates of today hold"


@pytest.mark.parametrize("lag_s", [0.0, heartbeat.FAR_BEHIND_S + 1], ids=["good", "far behind"])
def test_no_dead_worker_lives_for_them(world: World, lag_s: float) -> None:
    def beat(worker: str, lag_s: float = 0.0) -> None:
        world.database.transact(lambda tx: heartbeat.beat(tx, worker, True, world.now, lag_s=lag_s))

    world.database.transact(heartbeat.leave, ALWAYS_THERE)
    beat("then killed", lag_s)
    world.clock.advance(BACK_S)
    assert heartbeat.missing(world.database, world.now) == ["no worker is alive"]
    assert heartbeat.carrier_seen(world.database, world.now, by_broker=False) is None
    beat("another")
    assert heartbeat.missing(world.database, world.now) == []
    world.clock.advance(-BACK_S)
    assert heartbeat.missing(world.database, world.now) == ["no worker is alive"], "nor when its time comes again"


def nobody(_shop: Shop, _scenario: str) -> Provider:
    raise NoCredential("nobody can be asked")


def test_nobody_keeps_a_machine_for_hours(world: World) -> None:
    held, waiting = world.scan(), world.scan()
    assert world.database.transact(reserve, DEVICE, held, world.now) is None
    world.start(held, ONE_STAGE)
    with world.database.read() as session:
        assert reserved_until(session, DEVICE, waiting, world.now) is not None
        assert reserved_until(session, DEVICE, waiting, world.clock.advance(BACK_S)) is None
