"""Versions of the agent in the month of `month.py`: one everywhere, one that a machine has stopped, one on its way."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import update

from cloud.courier.device_jobs import DeviceJob, Kind, State
from cloud.database.transaction import Transaction
from cloud.fleet.models import DeviceLive
from cloud.releases import rollouts
from cloud.releases.models import Release, Rollout, RolloutMachine, RolloutState, Step
from cloud.releases.rollouts import Plan
from tests.cloud.releases.fleet import a_bundle
from tests.cloud.worlds import DEVICE, OTHER_DEVICE

BY = "Ирина, платформа"
STOPPED, ON_ITS_WAY = "1.5.0", "1.5.1"
ORDER = (DEVICE, "m-003", "m-005", OTHER_DEVICE)
Ends = Mapping[str, tuple[Step, str, str]]
DONE = (Step.DONE, "", "")


def bring_out(tx: Transaction, now: datetime) -> int:
    """All three; the number of the one that has stopped."""
    for version, days in (("1.4.0", 40), (STOPPED, 3), (ON_ITS_WAY, 1)):
        at = now - timedelta(days=days)
        tx.session.add(
            Release(
                version=version,
                size=214_000,
                sha256="0" * 64,
                bundle=a_bundle(version),
                added_at=at,
                added_by="cli:irina",
            )
        )
    tx.session.flush()
    _rollout(tx, "1.4.0", now - timedelta(days=39), RolloutState.DONE, 1, dict.fromkeys(ORDER, DONE))
    failed = (Step.FAILED, "rolled_back", "the broker did not answer within 120 s")
    stopped = _rollout(tx, STOPPED, now - timedelta(days=2, hours=3), RolloutState.STOPPED, 1,
                       {DEVICE: DONE, "m-003": failed})  # fmt: skip
    stopped.why = "m-003: rolled_back the broker did not answer within 120 s"
    began = now - timedelta(hours=2)
    _rollout(tx, ON_ITS_WAY, began, RolloutState.RUNNING, 1, {
        DEVICE: DONE, "m-003": DONE, OTHER_DEVICE: (Step.SKIPPED, "no_release_key", ""),
        "m-005": (Step.ASKED, "", ""),
    })  # fmt: skip
    for device in (DEVICE, "m-003"):
        tx.session.get_one(DeviceLive, device).agent_version = ON_ITS_WAY
    _job(tx, DEVICE, State.DONE, began)
    _job(tx, "m-005", State.STARTED, now - timedelta(minutes=1))
    running = update(RolloutMachine).where(RolloutMachine.device_uuid == "m-005", RolloutMachine.state == Step.ASKED)
    tx.session.execute(running.values(job_id="update-m-005", tries=2, changed_at=now - timedelta(minutes=1)))
    return stopped.id


def _rollout(tx: Transaction, version: str, at: datetime, state: RolloutState, wave: int, ends: Ends) -> Rollout:
    row = rollouts.start(tx, Plan(version, ("1", "80%", "all"), first=ORDER), BY, at).rollout
    row.state, row.wave = state.value, wave
    for device, (step, code, words) in ends.items():
        one = tx.session.get_one(RolloutMachine, (row.id, device))
        one.state, one.code, one.words, one.tries = step.value, code, words, 1
        one.changed_at = at + timedelta(minutes=4)
    tx.session.flush()
    return row


def _job(tx: Transaction, device: str, state: State, at: datetime) -> None:
    tx.session.add(
        DeviceJob(id=f"update-{device}", device_uuid=device, kind=Kind.UPDATE.value, wanted={"version": ON_ITS_WAY},
                  asked_by=f"rollout of {ON_ITS_WAY}", asked_at=at, expires_at=at, state=state.value, code="", words="",
                  ended_at=at + timedelta(minutes=3) if state is State.DONE else None)
    )  # fmt: skip
    tx.session.flush()
