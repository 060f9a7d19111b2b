"""The agent killed (-9) at every step of its journal, beside a machine in every phase of failing, with every duplicate.

Whatever happens: at most one cup, no final word against the machine's own count, and every order ends.
"""

import itertools
import sys
from pathlib import Path

import pytest

from agent.journal.sqlite_file import open_read_only
from protocol.messages import Make, Outcome, State
from protocol.reasons import Result, Spout
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import agent_env
from tests.agent.cloud_side import CloudSide
from tests.agent.dying_agent import ROUNDABOUT, STEPS
from tests.mosquitto import Mosquitto
from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROFILE = """\
name = "companion-v1"
[timers]
make_verdict = 0.4
query_reply = 0.3
accepted_to_brewing = 1.5
max_brew = 3.0
gate_patience = 2.0
unknown_deadline = 6.0
recheck = 1.0
"""
PHASES: dict[str, tuple[str, ...]] = {
    "all well": (),
    "power cut before it accepts": ("reboot_before_accept",),
    "power cut before its verdict": ("reboot_after_accept",),
    "power cut in mid-pour": ("mid_pour_crash",),
    "power cut, cup full, nothing recorded": ("reboot_after_dispense",),
    "power cut, recorded, not counted": ("reboot_after_outcome",),
    "power cut, counted, not said": ("reboot_before_done",),
    "power cut after its word": ("reboot_after_done",),
    "verdict lost": ("drop_verdict",),
    "outcome lost": ("drop_done",),
    "events twice": ("duplicate_events",),
    "unplugged in mid-pour": ("unplug_mid_brew",),
    "fails half poured": ("fail_mid_brew",),
    "refuses": ("reject_no_water",),
    "stale boot id": ("stale_boot_id", "drop_verdict"),
    "no dedup, forgets, verdict lost": ("without_dedup", "without_nv", "drop_verdict"),
    "no dedup, forgets, power cut before its verdict": ("without_dedup", "without_nv", "reboot_after_accept"),
    "no order memory, power cut, not said": ("without_order", "reboot_before_done"),
    "counters lost with the power": ("lose_counters", "without_nv", "mid_pour_crash"),
    "counts twice": ("count_twice", "without_nv", "reboot_before_done"),
    "neither order nor counters": ("without_order", "without_counters", "drop_done"),
}
DUPLICATES = (False, True)
ALWAYS = {
    ("bytes written", "no dedup, forgets, verdict lost", True),
    ("sent, no byte", "all well", True),
    ("brewing", "power cut, counted, not said", True),
    ("outcome, not acknowledged", "stale boot id", True),
}


def cases() -> list[object]:
    found: list[object] = []
    for step, phase, duplicates in itertools.product(STEPS | ROUNDABOUT, PHASES, DUPLICATES):
        marks = [] if (step, phase, duplicates) in ALWAYS else [pytest.mark.long]
        name = f"{step}-{phase}{'-duplicates' * duplicates}"
        found.append(pytest.param(step, phase, duplicates, marks=marks, id=name))
    return found


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=0.6, boot_s=0.1, heating_s=0.0, heartbeat_s=0.3)


class Campaign:
    """One order on one machine, from the first start of the agent to its last word."""

    def __init__(self, step: str, folder: Path, broker: str) -> None:
        self._folder = folder
        (folder / "fast.toml").write_text(PROFILE)
        self._argv = [sys.executable, "-m", "tests.agent.dying_agent", step]
        self._env = agent_env(folder, broker, COFFEE_AGENT_PROFILE=str(folder / "fast.toml"))

    def agent(self) -> Program:
        return Program(self._argv, log=self._folder / "agent.log", env=self._env, cwd=self._folder)

    def live_on(self) -> None:
        """The step may not have been passed: from now on it is harmless."""
        (self._folder / "state" / "has-died").touch()

    def states(self, command_id: str) -> set[str]:
        with open_read_only(self._folder / "state") as connection:
            rows = connection.execute("SELECT state FROM command WHERE command_id = ?", (command_id,)).fetchall()
        return {state for (state,) in rows}


@pytest.mark.parametrize(("step", "phase", "duplicates"), cases())
def test_killed_once(
    step: str,
    phase: str,
    duplicates: bool,
    tmp_path: Path,
    mosquitto: Mosquitto,
    machine: MachineSimulator,
    cloud: CloudSide,
) -> None:
    campaign = Campaign(step, tmp_path, mosquitto.url)
    copies = 2 if duplicates else 0
    with campaign.agent() as agent:
        wait_selling_or_dead(agent, cloud)
        for switch in PHASES[phase]:
            machine.controls.switch_on(switch)
        was_known = agent.is_running  # else the broker has no session that would keep the command
        make = cloud.make()
        send_again(cloud, make, copies)
        wait_until(lambda: cloud.outcomes() or not agent.is_running, what="an outcome or its death")
        if agent.is_running:
            agent.kill()
    campaign.live_on()
    send_again(cloud, make, copies)
    with campaign.agent():
        cloud.wait_online()
        send_again(cloud, make, copies if was_known else 1)
        cloud.outcome(timeout=40)
        send_again(cloud, make, copies)
        wait_until(lambda: is_at_rest(machine), what="the machine to come to rest")
        wait_until(lambda: campaign.states("c1") <= {"done", "failed", "rejected", "unknown"}, what="its end")
        other = cloud.make("c2", "o2")
        send_again(cloud, other, copies)
        cloud.outcome("c2", timeout=40)
        wait_until(lambda: is_at_rest(machine), what="the machine to come to rest")
    for command_id, order_id in (("c1", "o1"), ("c2", "o2")):
        check(machine, order_id, last_word(cloud, command_id))


def wait_selling_or_dead(agent: Program, cloud: CloudSide) -> None:
    """A step that is passed already at the greeting kills it before there is an order."""

    def is_so() -> bool:
        states = cloud.all_of(State)
        return not agent.is_running or (bool(states) and states[-1].machine == "ready" and states[-1].selling)

    wait_until(is_so, what="a ready machine")


def send_again(cloud: CloudSide, make: Make, copies: int) -> None:
    for _ in range(copies):
        cloud.command(make)


def is_at_rest(machine: MachineSimulator) -> bool:
    state = machine.controls.state()
    return bool(state["powered"]) and state["order"] is None


def last_word(cloud: CloudSide, command_id: str) -> Outcome:
    return max(cloud.outcomes(command_id), key=lambda outcome: outcome.revision)


def check(machine: MachineSimulator, order_id: str, outcome: Outcome) -> None:
    """The invariants of docs/machine-protocol.md 5.6."""
    touched, full = len(machine.poured(order_id)), machine.cups(order_id)
    told = f"{outcome.result} {outcome.code} {outcome.out} ({outcome.evidence.rule})"
    assert touched <= 1, f"{touched} cups; {told}"
    if outcome.result is Result.DONE:
        assert full == 1, f"no cup, and it says {told}"
    elif outcome.result is not Result.UNKNOWN and outcome.out is Spout.NONE:
        assert touched == 0, f"a cup, and it says {told}"
    elif outcome.result is Result.FAILED:
        assert full == 0, f"a full cup, and it says {told}"
