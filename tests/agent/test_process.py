"""The agent as a program: killed at every step with the real machine, broker and disk; its commands; its manners."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli, show
from agent.folder_lock import is_running
from agent.journal.sqlite_file import open_read_only
from protocol.messages import Presence
from protocol.reasons import Result, Spout
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import agent_env
from tests.agent.cloud_side import CloudSide
from tests.agent.dying_agent import STEPS
from tests.mosquitto import Mosquitto
from tests.programs import Program
from tests.waiting import wait_until

FAST = """
name = "companion-v1"
[timers]
make_verdict = 5.0
query_reply = 2.0
gate_patience = 10.0
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=1.0, boot_s=0.1, heating_s=0.0, heartbeat_s=0.5)


@pytest.fixture
def env(tmp_path: Path, mosquitto: Mosquitto) -> dict[str, str]:
    profile = tmp_path / "fast.toml"
    profile.write_text(FAST)
    return agent_env(tmp_path, mosquitto.url, COFFEE_AGENT_PROFILE=str(profile))


def program(tmp_path: Path, env: dict[str, str], *argv: str) -> Program:
    return Program([sys.executable, *argv], log=tmp_path / "agent.log", env=env, cwd=tmp_path)


def coffee_agent(env: dict[str, str], *argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *argv]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def exit_code(words: list[str]) -> object:
    """Of a command line that ends before anything is done."""
    try:
        return cli.main(words)
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=[] if n % 3 == 0 else [pytest.mark.long]) for n, step in enumerate(STEPS)]
)
def test_killed_at_any_step_it_pours_at_most_once_and_tells_the_truth(
    step: str, tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    """A few always; the kill matrix holds every step in one process."""
    dying = ["-m", "tests.agent.dying_agent", step]
    with program(tmp_path, env, *dying) as agent:
        cloud.wait_ready()
        cloud.make()
        assert agent.wait(60) == -signal.SIGKILL
    with program(tmp_path, env, *dying):
        outcome = cloud.outcome()
        cloud.command(cloud.make("c2", "o2"))
        cloud.outcome("c2")
    assert len(machine.poured("o1")) == (1 if outcome.result is Result.DONE else 0)
    assert machine.cups("o1") <= 1
    assert machine.cups("o2") <= 1
    assert outcome.result is Result.DONE or outcome.out is Spout.NONE
    with open_read_only(tmp_path / "state") as connection:
        states = connection.execute("SELECT state FROM command").fetchall()
    assert {state for (state,) in states} <= {"done", "failed", "rejected"}


def test_both_killed_in_mid_pour_the_outcome_is_unknown(
    tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        cloud.wait_ready()
        machine.controls.switch_on("mid_pour_crash")
        cloud.make()
        wait_until(lambda: machine.poured("o1"), what="the pour to begin")
        agent.kill()
        wait_until(lambda: machine.controls.state()["boots"] == 2, what="the machine's reboot")
    with program(tmp_path, env, "-m", "agent", "run"):
        outcome = cloud.outcome()
    assert outcome.result is Result.UNKNOWN
    assert outcome.evidence.boot_before != outcome.evidence.boot_now
    assert machine.cups("o1") == 0


def test_a_killed_agent_is_seen_to_be_gone_and_a_stopped_one_says_so(
    tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        first = cloud.wait_online()
        agent.kill()
        assert cloud.wait_online(False).session_id == first.session_id
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        second = cloud.wait_online()
        assert second.session_id != first.session_id
        assert agent.stop() == 0
        cloud.wait_online(False)
    assert [one.online for one in cloud.all_of(Presence)] == [True, False, True, False]
    assert not is_running(tmp_path / "state")


def test_stopped_in_mid_pour_it_exits_and_the_next_start_tells_the_outcome(
    tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        cloud.wait_ready()
        cloud.make()
        wait_until(lambda: machine.poured("o1"), what="the pour to begin")
        assert agent.stop() == 0
    with program(tmp_path, env, "-m", "agent", "run"):
        assert cloud.outcome().result is Result.DONE
    assert machine.cups("o1") == 1


def test_it_starts_without_a_broker_and_without_a_machine(tmp_path: Path, env: dict[str, str]) -> None:
    env |= {"COFFEE_AGENT_MQTT_URL": "mqtt://127.0.0.1:9", "COFFEE_AGENT_SERIAL": str(tmp_path / "nothing")}
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        wait_until(lambda: is_running(tmp_path / "state") and (tmp_path / "state" / "status.json").exists())
        assert agent.stop() == 0


def test_the_commands_tell_what_is_going_on(
    tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    assert coffee_agent(env, "status").returncode == 1
    healthy = coffee_agent(env, "doctor")
    assert healthy.returncode == 0, healthy.stdout
    assert "sim-1" in healthy.stdout
    with program(tmp_path, env, "-m", "agent", "run"):
        cloud.wait_ready()
        cloud.make()
        cloud.outcome()
        assert "running" in coffee_agent(env, "status").stdout
        told = {"selling: yes", "counters: total 1, paid 1, free 0, test 0"}
        wait_until(lambda: told <= set(show.status(tmp_path / "state")[0]), what="its next word about itself")
        assert coffee_agent(env, "doctor").returncode == 0
        assert "c1" in coffee_agent(env, "journal").stdout
        shown = coffee_agent(env, "journal", "show", "o1")
        assert (shown.returncode, "poured" in shown.stdout) == (0, True)
        assert coffee_agent(env, "journal", "show", "nothing").returncode == 1
        decided = coffee_agent(env, "journal", "--resume-selling")
        assert (decided.returncode, decided.stdout) == (0, "done\n")
        second = coffee_agent(env, "run")
        assert (second.returncode, "another agent" in second.stderr) == (1, True)


def test_the_doctor_names_what_is_missing(tmp_path: Path, env: dict[str, str]) -> None:
    env |= {"COFFEE_AGENT_MQTT_URL": "mqtt://127.0.0.1:9", "COFFEE_AGENT_SERIAL": str(tmp_path / "nothing")}
    examined = coffee_agent(env, "doctor")
    assert examined.returncode == 1
    bad = [line for line in examined.stdout.splitlines() if line.startswith("bad")]
    assert [line.split()[1] for line in bad] == ["port:", "broker:"]


def test_bad_settings_are_told_at_once(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    refused = coffee_agent(bare, "run", cwd=tmp_path)
    assert refused.returncode == 2
    for name in ("DEVICE_UUID", "MQTT_URL", "SERIAL"):
        assert f"COFFEE_AGENT_{name}" in refused.stderr
    (tmp_path / ".env").write_text("COFFEE_AGENT_DEVICE_UUID=m-001\n")
    assert "DEVICE_UUID" not in coffee_agent(bare, "run", cwd=tmp_path).stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in ("run", "journal"))])
def test_every_command_explains_itself(words: list[str]) -> None:
    assert exit_code(words) == 0


@pytest.mark.parametrize("words", [[], ["dance"], ["journal", "show"]])
def test_wrong_usage_is_two(words: list[str]) -> None:
    assert exit_code(words) == 2


def test_the_log_is_json_lines_with_the_ids_when_nobody_watches(
    tmp_path: Path, env: dict[str, str], machine: MachineSimulator, cloud: CloudSide
) -> None:
    with program(tmp_path, env, "-m", "agent", "run") as agent:
        cloud.wait_ready()
        cloud.make()
        cloud.outcome()
        facts = [json.loads(line) for line in agent.output.splitlines()]
    about_it = [fact["message"] for fact in facts if fact.get("command_id") == "c1"]
    assert [words.split()[0].rstrip(":") for words in about_it][:4] == ["received", "sent", "accepted", "brewing"]
