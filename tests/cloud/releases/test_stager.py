"""A rollout over a small fleet: wave by wave, never beside an order, stopped by the first machine that fails."""

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cloud.access.models import JournalRow
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob
from cloud.courier.job_sender import message_of
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.orders.money import PaymentState
from cloud.releases import rollouts
from cloud.releases.models import Rollout, RolloutMachine
from cloud.releases.rollouts import CannotRelease, Plan
from protocol import bundle
from protocol.bundle import Manifest
from protocol.messages import Update
from protocol.reasons import AnswerStatus
from tests.cloud.releases.fleet import ANNA, KEY, PUBLIC, URL, Fleet, a_bundle
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, START, World


def test_wave_by_wave_with_a_look_between(fleet: Fleet) -> None:
    fleet.start()
    fleet.step()
    assert fleet.asked() == [DEVICE]
    fleet.answer(DEVICE, AnswerStatus.STARTED)
    fleet.step(5)
    fleet.answer(DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    fleet.step(30)
    fleet.step(29)
    assert fleet.asked() == []
    fleet.step(5)
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]
    fleet.answer(OTHER_DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    fleet.step()
    assert fleet.state() == ("done", {DEVICE: "done", OTHER_DEVICE: "done"})
    with fleet.world.database.read() as session:
        acts = session.scalars(select(JournalRow.act).order_by(JournalRow.id)).all()
    assert acts == ["rollout_end"]


def test_the_agent_is_told_what_to_fetch_and_from_where(fleet: Fleet) -> None:
    fleet.start()
    fleet.step()
    with fleet.world.database.read() as session:
        said = message_of(session.scalars(select(DeviceJob)).one())
    assert isinstance(said, Update)
    assert (said.version, said.size, said.allow_older) == ("0.2.0", len(a_bundle()), False)
    assert said.url == f"{URL}/v1/agent/0.2.0"


@pytest.mark.parametrize("code", ["rolled_back", "self_test", "bad_signature"])
def test_the_first_machine_that_fails_stops_it_and_somebody_is_told(fleet: Fleet, code: str) -> None:
    fleet.start()
    fleet.step()
    assert fleet.told() == []
    fleet.answer(DEVICE, AnswerStatus.FAILED, code)
    fleet.step(5)
    for _ in range(5):
        fleet.step(600)
    assert fleet.asked() == []
    assert fleet.state() == ("stopped", {DEVICE: "failed", OTHER_DEVICE: "waiting"})
    with fleet.world.database.read() as session:
        rollout = session.scalars(select(Rollout)).one()
        [row] = session.scalars(select(JournalRow).where(JournalRow.act == "rollout_stop"))
    assert f"{DEVICE}: {code}" in rollout.why
    assert (row.who, row.object_id) == ("cloud", f"0.2.0/{rollout.id}")
    assert fleet.told() == [{"version": "0.2.0", "failed": 1}]
    fleet.world.database.transact(rollouts.resume, fleet.world.now, again=True)
    assert fleet.told() == []
    fleet.step(600)
    assert fleet.asked() == [DEVICE]


def test_a_machine_that_fails_during_a_pause_stops_it_too(fleet: Fleet) -> None:
    """Regression: nobody was told, and whoever went on left it out unseen."""
    database = fleet.world.database
    fleet.start()
    fleet.step()
    database.transact(rollouts.pause)
    fleet.answer(DEVICE, AnswerStatus.FAILED, "rolled_back")
    fleet.step(5)
    assert fleet.state() == ("stopped", {DEVICE: "failed", OTHER_DEVICE: "waiting"})
    assert fleet.told() == [{"version": "0.2.0", "failed": 1}]
    with database.read() as session:
        [row] = session.scalars(select(JournalRow))
    assert (row.act, row.who, row.before) == ("rollout_stop", "cloud", {"state": "paused"})
    database.transact(rollouts.resume, fleet.world.now)
    assert fleet.state() == ("running", {DEVICE: "skipped", OTHER_DEVICE: "waiting"})


def test_going_on_after_a_pause_leaves_nobody_out_before_the_failure_was_told(fleet: Fleet) -> None:
    database = fleet.world.database
    fleet.start()
    database.transact(rollouts.pause)

    def fails(tx: Transaction) -> None:
        tx.session.scalars(select(RolloutMachine).filter_by(device_uuid=DEVICE)).one().state = "failed"

    database.transact(fails)
    database.transact(rollouts.resume, fleet.world.now)
    fleet.step()
    assert fleet.state() == ("stopped", {DEVICE: "failed", OTHER_DEVICE: "waiting"})


def test_nothing_is_sold_of_a_machine_that_is_being_updated(fleet: Fleet) -> None:
    fleet.start()
    assert fleet.obstacle(DEVICE) == ""
    fleet.step()
    assert (fleet.obstacle(DEVICE), fleet.obstacle(OTHER_DEVICE)) == ("updating", "")
    fleet.answer(DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    assert fleet.obstacle(DEVICE) == ""


def test_the_lock_is_a_lease(fleet: Fleet) -> None:
    fleet.start()
    fleet.step()
    fleet.answer(DEVICE, AnswerStatus.STARTED)
    fleet.step(899)
    assert fleet.obstacle(DEVICE) == "updating"
    fleet.step(2)
    assert fleet.obstacle(DEVICE) == ""
    assert fleet.state()[1][DEVICE] == "asked"


def test_the_lock_is_no_longer_by_what_the_clock_was_set_back(fleet: Fleet) -> None:
    fleet.start()
    fleet.step()
    fleet.answer(DEVICE, AnswerStatus.STARTED)
    fleet.step(-3 * 3600)
    assert fleet.obstacle(DEVICE) == ""


@pytest.mark.parametrize("is_there", [True, False])
def test_one_whose_last_word_was_lost_has_the_version_when_it_is_there_with_it(fleet: Fleet, is_there: bool) -> None:
    """Regression: silence stopped the rollout, though presence had told what it runs."""
    fleet.start()
    fleet.step()
    fleet.answer(DEVICE, AnswerStatus.STARTED)
    fleet.runs(DEVICE, "0.2.0")
    fleet.goes(DEVICE, online=is_there)
    fleet.world.clock.advance(3600)
    fleet.world.database.transact(device_jobs.overdue, fleet.world.now)
    fleet.step()
    state, machines = fleet.state()
    assert (state, machines[DEVICE]) == (("running", "done") if is_there else ("stopped", "failed"))


@pytest.mark.parametrize("is_paid", [False, True])
def test_a_machine_with_a_live_order_is_not_asked(fleet: Fleet, is_paid: bool) -> None:
    world = fleet.world
    order_id = world.pay() if is_paid else world.scan()
    if not is_paid:
        payment_id = world.start(order_id)
        world.tell(payment_id, PaymentState.PENDING)
    fleet.start()
    fleet.step()
    assert (fleet.asked(), fleet.obstacle(DEVICE)) == ([], "")
    if not is_paid:
        fleet.step(1200)  # nobody pays any more
        assert fleet.asked() == [DEVICE]


def test_an_agent_that_is_too_old_is_left_to_a_person_and_a_busy_one_asked_again(fleet: Fleet) -> None:
    fleet.start("all")
    fleet.step()
    fleet.answer(DEVICE, AnswerStatus.REFUSED, "no_release_key")
    fleet.answer(OTHER_DEVICE, AnswerStatus.REFUSED, "busy")
    fleet.step(5)
    assert fleet.state() == ("running", {DEVICE: "skipped", OTHER_DEVICE: "waiting"})
    fleet.step(300)
    assert fleet.asked() == [OTHER_DEVICE]


def test_a_machine_whose_agent_was_taken_away_keeps_no_wave_waiting(fleet: Fleet) -> None:
    """Regression: Tmetr's heartbeats kept it online, and it was asked again for ever."""
    fleet.start("1", "all")

    def by_tmetr(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).control = "tmetr-api"

    fleet.world.database.transact(by_tmetr)
    fleet.step()
    for _ in range(10):
        fleet.step(120)
    assert OTHER_DEVICE in fleet.asked()


def test_paused_and_stopped_ask_nobody(fleet: Fleet) -> None:
    database = fleet.world.database
    fleet.start()
    database.transact(rollouts.pause)
    fleet.step(60)
    assert fleet.asked() == []
    with pytest.raises(CannotRelease):
        fleet.start()
    database.transact(rollouts.resume, fleet.world.now)
    fleet.step()
    assert fleet.asked() == [DEVICE]
    database.transact(rollouts.stop, "a bad day", fleet.world.now)
    fleet.answer(DEVICE, AnswerStatus.DONE)
    fleet.step(600)
    assert fleet.state() == ("stopped", {DEVICE: "done", OTHER_DEVICE: "waiting"})
    assert fleet.obstacle(DEVICE) == ""
    assert fleet.told() == []  # whoever stopped it knows


def test_an_older_rollout_never_goes_on_after_a_newer_one(fleet: Fleet) -> None:
    """Regression: the one that had stopped came back to life, and took the newer version away again."""
    database, now = fleet.world.database, fleet.world.now
    fleet.start()
    database.transact(rollouts.stop, "", now)
    database.transact(rollouts.add, a_bundle("0.3.0"), [PUBLIC], ANNA, now)
    newer = database.transact(rollouts.start, Plan("0.3.0", ("all",)), ANNA, now).rollout.id
    with pytest.raises(CannotRelease, match="stop it first"):
        database.transact(rollouts.resume, now, newer - 1)
    fleet.step()
    for device in (DEVICE, OTHER_DEVICE):
        fleet.answer(device, AnswerStatus.DONE, version="0.3.0")
    fleet.step()
    for rollout_id in (None, newer - 1):
        with pytest.raises(CannotRelease, match="was brought out after") as refused:
            database.transact(rollouts.resume, now, rollout_id)
        assert refused.value.code == "moved_on"
    fleet.step(600)
    assert fleet.asked() == []


def test_a_version_made_for_one_machine_is_asked_of_that_one_alone(fleet: Fleet) -> None:
    """Regression: the first wave was any machine, which refused it and stopped the rollout."""
    database, now = fleet.world.database, fleet.world.now
    database.transact(rollouts.add, a_bundle("0.3.0", machines=[OTHER_DEVICE, "m-gone"]), [PUBLIC], ANNA, now)
    with pytest.raises(CannotRelease, match=DEVICE):
        database.transact(rollouts.start, Plan("0.3.0", first=(DEVICE,)), ANNA, now)
    database.transact(rollouts.start, Plan("0.3.0"), ANNA, now)
    fleet.step()
    fleet.answer(OTHER_DEVICE, AnswerStatus.DONE, version="0.3.0")
    fleet.step(5)
    assert fleet.state() == ("done", {OTHER_DEVICE: "done"})


def test_of_those_who_begin_at_once_one_does(fleet: Fleet) -> None:
    gate, refused = threading.Barrier(6), list[str]()

    def begin() -> None:
        gate.wait()
        try:
            fleet.start()
        except CannotRelease as cannot:
            refused.append(cannot.code)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refused == ["another_goes_on"] * 5
    assert fleet.state()[0] == "running"


def test_only_a_bundle_one_of_our_keys_has_signed_is_kept(world: World) -> None:
    other = Ed25519PrivateKey.generate()
    for content, keys in [(a_bundle(key=other), [PUBLIC]), (a_bundle(), []), (b"nothing", [PUBLIC])]:
        with pytest.raises(CannotRelease):
            world.database.transact(rollouts.add, content, keys, ANNA, START)
    world.database.transact(rollouts.add, a_bundle(), ["not base64", PUBLIC], ANNA, START)
    assert world.database.transact(rollouts.add, a_bundle(), [PUBLIC], ANNA, START)[1] is False
    signed = bundle.pack(Manifest(version="0.2.0", files={}, python=">=3.12"), {})
    with pytest.raises(CannotRelease, match="other contents"):
        world.database.transact(rollouts.add, bundle.join(KEY.sign(signed), signed), [PUBLIC], ANNA, START)
