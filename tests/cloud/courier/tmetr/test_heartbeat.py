"""What is known of machines without an agent before a buyer pays: read from a simulated Tmetr."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from cloud.background.loops import ThreadPool
from cloud.courier.tmetr.client import TmetrClient
from cloud.courier.tmetr.heartbeat import TmetrHeartbeats, nobody_is_online
from cloud.database.transaction import Transaction
from cloud.fleet.availability import obstacle
from cloud.fleet.models import Device, DeviceLive
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, World
from tests.programs import free_port


@pytest.fixture
def rig(world: World) -> Iterator[TmetrRig]:
    with a_tmetr_rig(world) as made:
        made.world.database.transact(nobody_is_online, made.world.now)
        yield made


@pytest.fixture
def sqlite_rig(sqlite_world: World) -> Iterator[TmetrRig]:
    with a_tmetr_rig(sqlite_world) as made:
        made.world.database.transact(nobody_is_online, made.world.now)
        yield made


def why_not(rig: TmetrRig) -> str:
    with rig.world.database.read() as session:
        return obstacle(session.get_one(Device, DEVICE), session.get(DeviceLive, DEVICE), "")


def look(rig: TmetrRig, seconds: float = 30.0) -> None:
    rig.heartbeats.step(rig.world.clock.advance(seconds))


def looks(rig: TmetrRig) -> int:
    return len(rig.tmetr.calls(Endpoint.HEARTBEAT))


@pytest.mark.any_database
def test_a_machine_heard_of_lately_is_on_sale(rig: TmetrRig) -> None:
    assert why_not(rig) == "offline", "nobody has looked yet"
    look(rig)
    assert why_not(rig) == ""
    assert rig.live().seen_at == rig.world.now.replace(second=0)


@pytest.mark.any_database
@pytest.mark.parametrize("fails", [False, True])
def test_what_was_asked_before_a_change_over_writes_over_no_word_of_the_agent(
    rig: TmetrRig, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    look(rig)
    if fails:
        rig.tmetr.fault(FaultKind.HTML_502, Endpoint.HEARTBEAT)
    ask = TmetrClient.last_heartbeat
    state = {"selling": True, "machine": "ready"}

    def ask_while_it_changes_over(client: TmetrClient, device_uuid: str) -> object:
        told = ask(client, device_uuid)
        if device_uuid == DEVICE:
            rig.change(control="agent")
            changing = update(DeviceLive).where(DeviceLive.device_uuid == DEVICE)
            rig.world.database.transact(Transaction.execute, changing.values(online=False, state=state, look_at=None))
        return told

    monkeypatch.setattr(TmetrClient, "last_heartbeat", ask_while_it_changes_over)
    look(rig)
    live = rig.live()
    assert (live.online, live.state, live.look_at) == (False, state, None)


@pytest.mark.any_database
def test_five_minutes_of_silence_take_it_off_sale_and_a_heartbeat_brings_it_back(rig: TmetrRig) -> None:
    look(rig)
    rig.tmetr.hall.switch(DEVICE, False, None)
    for _ in range(8):
        look(rig)
    assert why_not(rig) == ""
    look(rig)
    assert why_not(rig) == "offline"
    rig.tmetr.hall.switch(DEVICE, True, None)
    look(rig)
    assert why_not(rig) == ""


def test_a_machine_tmetr_has_never_heard_of_is_offline(sqlite_rig: TmetrRig) -> None:
    sqlite_rig.tmetr.hall.machine(DEVICE).ever_seen = False
    look(sqlite_rig)
    assert why_not(sqlite_rig) == "offline"


def test_one_lost_answer_changes_nothing_two_take_the_machine_off_sale(
    sqlite_rig: TmetrRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    look(rig)
    rig.tmetr.fault(FaultKind.HTML_502, Endpoint.HEARTBEAT, times=2)
    with caplog.at_level(logging.WARNING):
        look(rig)
    assert why_not(rig) == ""
    assert "no heartbeat could be read: HTTP 502" in caplog.text
    look(rig, 10)
    assert why_not(rig) == "offline", "who cannot be asked cannot be told to pour"
    look(rig, 10)
    assert why_not(rig) == ""


def test_while_tmetr_is_away_an_old_heartbeat_does_not_stay_young(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    look(rig)
    rig.world.clock.advance(400)
    rig.a_look_elsewhere(f"http://127.0.0.1:{free_port()}").step(rig.world.now)
    assert why_not(rig) == "offline"


def test_a_heartbeat_from_the_future_is_told_and_not_believed(
    sqlite_rig: TmetrRig, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong time zone would otherwise keep a dead machine on sale for hours."""
    rig = sqlite_rig
    rig.tmetr.advance(3 * 3600)
    with caplog.at_level(logging.ERROR):
        look(rig)
    assert why_not(rig) == "offline"
    assert "a clock or a time zone is wrong" in caplog.text


def test_machines_are_looked_at_in_turn_and_not_too_often(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    rig.change(OTHER_DEVICE, control="tmetr-api")
    now = rig.world.now
    assert rig.heartbeats.step(now) == now, "its one hand was busy: there may be more"
    rig.heartbeats.step(now)
    assert looks(rig) == 2
    assert rig.heartbeats.step(now) > now
    for seconds in range(0, 29, 4):
        rig.heartbeats.step(now + timedelta(seconds=seconds))
    assert looks(rig) == 2
    rig.heartbeats.step(now + timedelta(seconds=31))
    assert looks(rig) == 3


def test_several_workers_share_the_machines(rig: TmetrRig) -> None:
    rig.change(OTHER_DEVICE, control="tmetr-api")
    others = TmetrHeartbeats(rig.world.database, rig.client(), ThreadPool("others", 0), rig.world.clock)
    for _ in range(2):
        for worker in (rig.heartbeats, others):
            worker.step(rig.world.now)
    assert looks(rig) == 2


def test_machines_with_an_agent_and_closed_ones_are_left_alone(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig
    assert rig.live(OTHER_DEVICE).online, "only its own agent says otherwise"
    rig.change(status="closed")
    look(rig)
    assert looks(rig) == 0
    assert rig.live(OTHER_DEVICE).online


def test_what_an_agent_once_said_of_the_machine_counts_no_more(sqlite_rig: TmetrRig) -> None:
    rig = sqlite_rig

    def remember(tx: object) -> None:
        tx.session.get_one(DeviceLive, DEVICE).state = {"link": "down"}  # type: ignore[attr-defined]  # a Session

    rig.world.database.transact(remember)
    look(rig)
    assert why_not(rig) == ""
