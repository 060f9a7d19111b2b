"""Jobs on the real program: restart and settings by a message from the cloud, and what the state message tells."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import show
from agent.doctor.examination import examine
from protocol.messages import Answer, Hello, Job, Outcome, Presence, Restart, Rinse, Settings, State
from protocol.reasons import AnswerStatus, RinseProgram
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import agent_env
from tests.agent.cloud_side import DEVICE, CloudSide
from tests.mosquitto import Mosquitto
from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=1.5, boot_s=0.1, heating_s=0.0, heartbeat_s=0.5, rinse_s=0.5)


@pytest.fixture
def agent(tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, cloud: CloudSide) -> Iterator[Program]:
    env = agent_env(tmp_path, mosquitto.url)
    command = [sys.executable, "-m", "agent", "run"]
    with Program(command, log=tmp_path / "agent.log", env=env, cwd=tmp_path) as running:
        cloud.wait_ready()
        yield running


def times() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"issued_at": now, "deadline_at": now + timedelta(seconds=30)}


def ask(cloud: CloudSide, job: Job, *statuses: AnswerStatus) -> list[Answer]:
    """Tell the agent, wait for these answers."""
    cloud.command(job)

    def answers() -> list[Answer]:
        return [one for one in cloud.all_of(Answer) if one.reference == job.job_id]

    wait_until(lambda: [one.status for one in answers()] == list(statuses), what=f"{statuses} of {job.job_id}")
    return answers()


@pytest.mark.usefixtures("agent")
def test_the_state_tells_the_profile_what_the_machine_can_do_and_how_clean_the_line_is(
    cloud: CloudSide, machine: MachineSimulator
) -> None:
    said = cloud.all_of(State)[-1]
    assert said.profile == "companion-v1"
    assert isinstance(said.capabilities, list)
    assert {"ack", "finish", "order", "counters", "dedup", "nv"} <= set(said.capabilities)
    assert said.frame_error_ratio == 0
    for name in ("corrupt_crc", "flood_heartbeats"):
        machine.controls.switch_on(name)
    wait_until(lambda: cloud.all_of(State)[-1].frame_error_ratio > 0, what="damage in the state")


@pytest.mark.usefixtures("agent")
def test_a_rinse_from_the_cloud(cloud: CloudSide) -> None:
    job = Rinse(job_id="j1", program=RinseProgram.RINSE, **times())
    ask(cloud, job, AnswerStatus.STARTED, AnswerStatus.DONE)


@pytest.mark.usefixtures("agent")
def test_every_job_is_refused_while_a_drink_is_made(cloud: CloudSide, machine: MachineSimulator) -> None:
    """A long one, ended at last by the lack of water."""
    machine.controls.switch_on("slow")
    cloud.make()
    wait_until(lambda: machine.poured("o1"), what="the pour to begin")
    jobs = [
        Rinse(job_id="j1", program=RinseProgram.CLEAN, **times()),
        Restart(job_id="j2", **times()),
        Settings(job_id="j3", values={}, **times()),
    ]
    for job in jobs:
        (answer,) = ask(cloud, job, AnswerStatus.REFUSED)
        assert (answer.code, answer.words) == ("busy", "a drink is being made")
    machine.controls.switch_on("no_water")
    assert (cloud.outcome().result, cloud.outcome().code) == ("failed", "no_water")


def test_a_restart_from_the_cloud_is_one_new_start_of_the_same_process(cloud: CloudSide, agent: Program) -> None:
    first = cloud.all_of(Presence)[-1].session_id
    job = Restart(job_id="j1", **times())
    ask(cloud, job, AnswerStatus.STARTED, AnswerStatus.DONE)
    assert cloud.wait_online().session_id != first
    assert agent.is_running
    cloud.make()
    assert cloud.outcome().result == "done"
    ask(cloud, job, AnswerStatus.STARTED, AnswerStatus.DONE, AnswerStatus.DONE)
    assert len({one.session_id for one in cloud.all_of(Presence)}) == 2
    assert agent.stop() == 0


@pytest.mark.usefixtures("agent")
def test_settings_from_the_cloud_change_what_the_agent_does(cloud: CloudSide) -> None:
    values: dict[str, bool | int | float | str] = {"timers.make_freshness": 0.001}
    ask(cloud, Settings(job_id="j1", values=values, **times()), AnswerStatus.STARTED, AnswerStatus.DONE)
    wait_until(lambda: len(cloud.all_of(Hello)) > 1, what="the new start")
    cloud.make()
    assert cloud.outcome().code == "expired"
    ask(cloud, Settings(job_id="j2", values={}, **times()), AnswerStatus.STARTED, AnswerStatus.DONE)
    cloud.make("c2", "o2")
    assert cloud.outcome("c2").result == "done"
    assert len(cloud.all_of(Outcome)) == 2


def test_settings_of_a_device_are_shown_and_do_not_outlive_its_name(
    tmp_path: Path, mosquitto: Mosquitto, cloud: CloudSide, agent: Program
) -> None:
    """Regression: a computer that became another machine kept what was set for the old one, and nobody could see it."""

    def shown() -> list[str]:
        lines, _ = show.status(tmp_path / "state")
        doctor = [finding.words for finding in examine(agent_env(tmp_path, mosquitto.url)) if not finding.is_bad]
        return [line for line in (*lines, *doctor) if line.startswith("set from afar: ")]

    def started_as(device_uuid: str, log: str) -> list[str]:
        env = agent_env(tmp_path, mosquitto.url, COFFEE_AGENT_DEVICE_UUID=device_uuid)
        told = tmp_path / log
        with Program([sys.executable, "-m", "agent", "run"], log=told, env=env, cwd=tmp_path) as again:
            again.wait_until_ready(lambda: f"device uuid: {device_uuid}" in show.status(tmp_path / "state")[0])
            return shown()

    values: dict[str, bool | int | float | str] = {"timers.max_brew": 42, "counting.local_sales": False}
    ask(cloud, Settings(job_id="j1", values=values, **times()), AnswerStatus.STARTED, AnswerStatus.DONE)
    both = ["set from afar: timers.max_brew 42, counting.local_sales no"] * 2
    wait_until(lambda: shown() == both, what="status and doctor to tell of it")
    agent.stop()
    assert [started_as("m-002", "second.log"), started_as(DEVICE, "third.log")] == [[], []]
