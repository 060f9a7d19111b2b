"""Whose message is next: nobody's many, and nobody's slow ones, keep another merchant's alert waiting."""

import threading

import pytest
from sqlalchemy import func, select

from cloud.alerts import channel_settings
from cloud.alerts.channel_settings import TESTED
from cloud.alerts.channels.sender import Delivered, NotNow, Why
from cloud.alerts.channels.sender import Sending as Outcome
from cloud.alerts.loops import ALERTS_SLOTS
from cloud.alerts.models import AlertMessage, Channel
from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, DeviceLive, Merchant
from cloud.orders.outbox import OutboxRow
from tests.cloud.alerts.desk import GROUP, Acting, Desk
from tests.waiting import wait_until

THEIRS, SOUTH = "-100600", "south"


def south(tx: Transaction) -> None:
    """A second merchant, with a machine that is offline."""
    tx.session.add(Merchant(id=SOUTH, name="ООО Юг"))
    tx.session.flush()
    tx.session.add(Device(device_uuid="s-001", merchant_id=SOUTH, payment_scenario="Yookassa"))
    tx.session.flush()
    tx.session.add(DeviceLive(device_uuid="s-001", online=True, session_id="s1"))


def step(desk: Desk, times: int = 1) -> None:
    for _ in range(times):
        desk.alert_sender.step(desk.world.clock.advance(1))


@pytest.mark.parametrize("in_the_way", ["many", "removed", "many failing"])
def test_many_messages_of_one_hold_up_no_other(desk: Desk, in_the_way: str) -> None:
    """Regression: the longest due were claimed, whosever they were; 500 of one were fifty seconds of everybody's."""
    ours = desk.channel()
    desk.channel(address=THEIRS, merchant=SOUTH)
    desk.world.database.transact(south)
    desk.write(ours, 500)
    if in_the_way == "removed":
        desk.world.database.transact(channel_settings.remove, ours)
    if in_the_way == "many failing":
        desk.world.database.transact(_fails, ours, desk)
    desk.presence("s-001", online=False)
    for _ in range(6):
        desk.watch.step(desk.world.clock.advance(30))
    step(desk, 2)
    assert [message.text.splitlines()[0] for message in desk.messages(THEIRS)] == ["🔴 Автомат не на связи: s-001"]


def test_slow_channels_of_one_leave_hands_to_the_others(sqlite_desk: Desk) -> None:
    """Regression: two that answered after nine seconds were all that was sent meanwhile."""
    go_on = threading.Event()

    def slow(*_: object) -> Outcome:
        assert go_on.wait(60)
        return Delivered()

    pool = ThreadPool("notify", ALERTS_SLOTS)
    desk = Desk(sqlite_desk.world, sqlite_desk.messengers, pool=pool)
    desk.senders["webhook"] = Acting(slow)
    for number in range(5):
        desk.write(desk.channel("webhook", f"https://north.example/{number}"), 20)
    theirs = desk.channel(address=THEIRS, merchant=SOUTH)
    try:
        step(desk, 2)
        assert pool.free == ALERTS_SLOTS // 2
        desk.write(theirs)
        step(desk)
        wait_until(lambda: len(desk.messages(THEIRS)) == 1)
    finally:
        go_on.set()
        pool.close()


def test_an_owners_dead_channel_is_behind_his_living_one(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    dead, living = desk.channel("max", "-77"), desk.channel()
    desk.write(dead, 100)
    desk.world.database.transact(_fails, dead, desk)
    desk.write(living)
    step(desk)
    assert len(desk.messages(GROUP)) == 1


def test_a_second_press_finds_the_test_that_is_under_way(desk: Desk) -> None:
    channel, transact = desk.channel(), desk.world.database.transact
    assert [transact(channel_settings.test, channel, desk.world.now) for _ in range(3)] == [TESTED, {}, {}]
    with desk.world.database.read() as session:
        assert [session.scalar(select(func.count()).select_from(each)) for each in (AlertMessage, OutboxRow)] == [1, 1]
    step(desk)
    assert len(desk.messages()) == 1
    assert transact(channel_settings.test, channel, desk.world.now)


def test_a_press_after_the_channel_was_set_up_anew_sends_the_waiting_test_at_once(sqlite_desk: Desk) -> None:
    desk, transact = sqlite_desk, sqlite_desk.world.database.transact
    channel, telegram = desk.channel(address="-1"), desk.senders["telegram"]
    desk.senders["telegram"] = Acting(_not_now)
    transact(channel_settings.test, channel, desk.world.now)
    step(desk)
    desk.senders["telegram"] = telegram
    transact(channel_settings.test, channel, desk.world.now)
    step(desk)
    assert desk.deliveries() == ["notnow"], "a channel that fails has its pause"
    transact(channel_settings.change, channel, channel_settings.ChannelTerms("telegram", "ours", GROUP))
    transact(channel_settings.test, channel, desk.world.now)
    step(desk)
    assert len(desk.messages()) == 1


def _not_now(*_: object) -> Outcome:
    return NotNow(300.0, Why.NO_CONNECTION)


def _fails(tx: Transaction, channel_id: str, desk: Desk) -> None:
    tx.session.get_one(Channel, channel_id).failing_since = desk.world.now
