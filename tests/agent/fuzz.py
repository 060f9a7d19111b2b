"""`python -m tests.agent.fuzz --minutes N`: damaged bytes on the line and odd messages from the broker, for hours.

The real agent, with a real broker, and the simulated machine behind a line that mangles. Nothing may die, memory stays
flat, the journal's folder stays small, no order gets two cups, and in between, on a clean line, it answers and pours.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.journal.operator_decisions import Decision, leave
from agent.journal.records import UNSETTLED
from agent.journal.sqlite_file import open_read_only
from bench.programs import weigh
from protocol.messages import Outcome, Probe, ProbeReply, State
from protocol.reasons import Result
from simulator.machine import MachineSimulator, Timing
from tests.agent.cloud_side import DEVICE, CloudSide, a_cloud_side
from tests.agent.mangler import Mangler
from tests.agent.odd_messages import OddMessages
from tests.mosquitto import a_mosquitto
from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROFILE = """\
name = "companion-v1"
[timers]
make_verdict = 0.5
query_reply = 0.3
accepted_to_brewing = 2.0
max_brew = 4.0
unknown_deadline = 8.0
recheck = 2.0
"""
MESSAGES_A_SECOND = 50
CALM_EVERY_S = 20.0
"""How often the line is let clean, to see that the agent still does its work."""
GROWTH_MIB = 6.0
"""What the memory may grow after the first quarter: pages that are touched late, never a leak of minutes."""
FOLDER_MIB = 64.0
WARM_UP = 0.25


@dataclass
class Findings:
    """What was done, and everything that went wrong."""

    seed: int
    seconds: float = 0.0
    messages: int = 0
    damaged: int = 0
    calms: int = 0
    resident: list[float] = field(default_factory=list)
    """MiB, about once a second."""
    wrong: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """MiB between the end of the warm-up and the end: the highest of each tenth of the run."""
        warm = self.resident[int(len(self.resident) * WARM_UP) :]
        tenth = max(1, len(warm) // 10)
        return max(warm[-tenth:]) - max(warm[:tenth]) if warm else 0.0

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.seconds:.0f} s, {self.messages} odd messages, {self.damaged} damaged pieces,"
            f" {self.calms} calms",
            f"resident {min(self.resident):.1f} to {max(self.resident):.1f} MiB, grown by {self.growth:+.1f}",
        ]
        return "\n".join([*lines, *([f"WRONG: {one}" for one in self.wrong] or ["nothing found"])])


def run(folder: Path, seconds: float, seed: int, say: Callable[[str], None] = lambda _: None) -> Findings:
    """Fuzz for so long; needs Mosquitto."""
    found = Findings(seed)
    random = Random(seed)
    (folder / "fast.toml").write_text(PROFILE)
    timing = Timing(brew_s=0.5, boot_s=0.1, heating_s=0.0, heartbeat_s=0.2)
    with (
        a_mosquitto(folder / "mosquitto") as broker,
        a_cloud_side(broker.url) as cloud,
        MachineSimulator(tcp=0, http=None, timing=timing) as machine,
    ):
        cloud.takes = ["event"]
        mangler = Mangler(int(machine.tty.rpartition(":")[2]), random)
        try:
            with _agent(folder, broker.url, mangler.port) as agent:
                _storm(_Stage(agent, cloud, machine, mangler, folder, OddMessages(random), found, say), seconds)
        finally:
            mangler.close()
    return found


@dataclass
class _Stage:
    agent: Program
    cloud: CloudSide
    machine: MachineSimulator
    mangler: Mangler
    folder: Path
    odd: OddMessages
    found: Findings
    say: Callable[[str], None]


def _agent(folder: Path, broker: str, port: int) -> Program:
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COFFEE_AGENT_DEVICE_UUID": DEVICE,
        "COFFEE_AGENT_MQTT_URL": broker,
        "COFFEE_AGENT_SERIAL": f"socket://127.0.0.1:{port}",
        "COFFEE_AGENT_PROFILE": str(folder / "fast.toml"),
        "COFFEE_AGENT_STATE_DIR": str(folder / "state"),
        "COFFEE_AGENT_LOG_LEVEL": "CRITICAL",
    }
    return Program([sys.executable, "-m", "agent", "run"], log=folder / "agent.log", env=env, cwd=folder)


def _storm(stage: _Stage, seconds: float) -> None:
    wait_until(lambda: stage.cloud.all_of(State), 60, what="the agent")  # what it imports is no growth
    found, began = stage.found, time.monotonic()
    weighed = calmed = began
    while (now := time.monotonic()) - began < seconds:
        if not stage.agent.is_running:
            found.wrong.append(f"the agent ended:\n{stage.agent.output[-2000:]}")
            return
        channel, payload = stage.odd.next()
        stage.cloud.raw(payload, channel)
        found.messages += 1
        del stage.cloud.heard[:-1000]
        if now - weighed >= 1.0:
            weighed = now
            _weigh(stage)
        if now - calmed >= CALM_EVERY_S:
            _calm(stage)
            calmed = time.monotonic()
        time.sleep(1 / MESSAGES_A_SECOND)
    _calm(stage)
    found.seconds, found.damaged = time.monotonic() - began, stage.mangler.damaged
    _judge(stage)


def _weigh(stage: _Stage) -> None:
    weight = weigh(stage.agent.pid)
    if weight is not None:
        stage.found.resident.append(weight.rss)


def _calm(stage: _Stage) -> None:
    """A clean line, a person who has looked: it must answer, settle what is open, and pour.

    Counters that the mangler invented are only contradicted by the first true ones, which may stop the selling once
    more: the person looks again until the first drink. From then on all it heard is true, and it needs nobody.
    """
    stage.mangler.is_clean = True
    name = f"calm-{stage.found.calms}"
    try:
        wait_until(lambda: _sells(stage), 60, what="it to sell again")
        stage.cloud.command(Probe(probe_id=name, drink_no="americano", size=1))
        wait_until(lambda: any(one.probe_id == name for one in stage.cloud.all_of(ProbeReply)), what="an answer")
        wait_until(lambda: not _open(stage), 60, what="every order to end")
        wait_until(lambda: _sells(stage) and _pours(stage, name), 60, what="a drink")
        wait_until(lambda: _pours(stage, f"{name}-again"), 60, what="a drink with nobody looking")
    except AssertionError as error:
        states = stage.cloud.all_of(State)
        stage.found.wrong.append(f"{error}; last state {states[-1] if states else None}")
    stage.found.calms += 1
    stage.say(f"calm {stage.found.calms}: {stage.found.resident[-1] if stage.found.resident else 0:.1f} MiB")
    stage.mangler.is_clean = False


def _sells(stage: _Stage) -> bool:
    leave(stage.folder / "state", Decision.RESUME_SELLING)
    states = stage.cloud.all_of(State)
    return bool(states) and states[-1].selling and states[-1].machine == "ready"


def _open(stage: _Stage) -> int:
    marks = ", ".join("?" * len(UNSETTLED))
    with open_read_only(stage.folder / "state") as connection:
        row = connection.execute(f"SELECT count(*) FROM command WHERE state IN ({marks})", UNSETTLED).fetchone()
    return int(row[0])


def _pours(stage: _Stage, name: str) -> bool:
    """Tried until it is not refused: the storm's last orders may still be before it."""
    number = len(stage.cloud.all_of(Outcome))
    order_id = f"{name}-{number}-{time.monotonic():.3f}"
    stage.odd.order_ids.add(order_id)
    stage.cloud.make(order_id, order_id)
    wait_until(lambda: stage.cloud.outcomes(order_id), what="its outcome")
    return stage.cloud.outcomes(order_id)[-1].result is Result.DONE


def _judge(stage: _Stage) -> None:
    found = stage.found
    for order_id in sorted(stage.odd.order_ids):
        if len(stage.machine.poured(order_id)) > 1:
            found.wrong.append(f"{len(stage.machine.poured(order_id))} cups for {order_id}")
    if found.growth > GROWTH_MIB:
        found.wrong.append(
            f"memory grew by {found.growth:.1f} MiB: {found.resident[:: max(1, len(found.resident) // 20)]}"
        )
    size = sum(path.stat().st_size for path in (stage.folder / "state").rglob("*") if path.is_file()) / 2**20
    if size > FOLDER_MIB:
        found.wrong.append(f"the state folder has {size:.0f} MiB")


def main() -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="tests.agent.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coffee-fuzz-") as name:
        found = run(Path(name), options.minutes * 60, options.seed, lambda line: print(line, flush=True))
    print(found)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
