"""The agent updates itself: real processes, real bundles, started again as systemd does, killed at every step.

Whatever happens, one working version is left, and the cloud is told which way it went.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import AGENT_VERSION
from agent.update import release_files
from protocol.messages import Answer, State
from protocol.reasons import AnswerStatus
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import agent_env
from tests.agent.cloud_side import CloudSide
from tests.agent.update.bundles import NEWER, QUICK, Bundle, Patch, Shelf, a_shelf, appended
from tests.agent.update.dying_update import BEFORE_THE_TRIAL, ON_TRIAL
from tests.certificates import Authority
from tests.mosquitto import Mosquitto
from tests.programs import Program
from tests.waiting import wait_until

Start = Callable[..., Program]
PATIENCE_S = 60.0


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=2.0, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with a_shelf(tmp_path / "shelf") as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, shelf: Shelf) -> Iterator[Start]:
    """Starts the unit, with `more` settings; `dies_at` names a step of the installed agent."""
    running: list[Program] = []

    def begin(dies_at: str = "", **more: str) -> Program:
        module = ["tests.agent.update.dying_update", dies_at] if dies_at else ["agent", "run"]
        env = agent_env(tmp_path, mosquitto.url, COFFEE_AGENT_RELEASE_KEY=shelf.public, **more)
        argv = [sys.executable, "-m", "tests.agent.update.unit", *module]
        running.append(Program(argv, log=tmp_path / "agent.log", env=env, cwd=tmp_path))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def answers(cloud: CloudSide, job_id: str = "u1") -> list[Answer]:
    return [one for one in cloud.all_of(Answer) if one.reference == job_id]


def end_of(cloud: CloudSide, job_id: str = "u1") -> Answer:
    """The last word on the job, waited for."""
    ends = {AnswerStatus.DONE, AnswerStatus.FAILED, AnswerStatus.REFUSED}
    wait_until(lambda: any(one.status in ends for one in answers(cloud, job_id)), PATIENCE_S, what="the job's end")
    return next(one for one in answers(cloud, job_id) if one.status in ends)


def pours(cloud: CloudSide, version: str, order_id: str = "after") -> None:
    """Whichever version is left sells."""

    def sells() -> bool:
        said = cloud.all_of(State)
        return bool(said) and said[-1].selling and said[-1].agent_version == version and said[-1].machine == "ready"

    wait_until(sells, PATIENCE_S, what=f"{version} to sell")
    cloud.make(f"c-{order_id}", order_id)
    assert cloud.outcome(f"c-{order_id}").result == "done"


def asked(cloud: CloudSide, bundle: Bundle) -> Answer:
    cloud.wait_ready()
    cloud.command(bundle.job())
    return end_of(cloud)


def test_a_good_version_is_tried_stays_and_survives_a_new_start(
    start: Start, cloud: CloudSide, shelf: Shelf, tmp_path: Path
) -> None:
    unit = start()
    assert asked(cloud, shelf.put()).status == "done"
    reasons = [one.reason for one in cloud.all_of(State) if not one.selling]
    assert f"the agent is being updated to {NEWER}" in reasons
    assert f"version {NEWER} of the agent is being tried" in reasons
    pours(cloud, NEWER)
    unit.stop()
    cloud.heard.clear()
    start()
    pours(cloud, NEWER, "again")
    assert end_of(cloud).status == "done"
    cloud.command(shelf.put("0.3.0").job("u2"))
    assert end_of(cloud, "u2").status == "done"
    pours(cloud, "0.3.0", "third")
    assert [path.name for path in sorted((tmp_path / "state/releases").iterdir())] == [NEWER, "0.3.0"]


def test_it_is_fetched_from_a_cloud_whose_authority_is_its_own(start: Start, cloud: CloudSide, tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    start(COFFEE_AGENT_CLOUD_CA=str(ours.ca))
    with a_shelf(tmp_path / "https", ours) as shelf:
        assert asked(cloud, shelf.serve(NEWER, b"fetched, and no bundle")).code == "bad_bundle"


@pytest.mark.long
def test_what_may_not_run_here_changes_nothing(start: Start, cloud: CloudSide, shelf: Shelf, tmp_path: Path) -> None:
    start()
    cloud.wait_ready()
    good = shelf.put()
    bad: dict[str, Bundle | tuple[Bundle, dict[str, object]]] = {
        "bad_signature": shelf.put("0.2.1", key=Ed25519PrivateKey.generate()),
        "other_machine": shelf.put("0.2.2", machines=["m-999"]),
        "older_version": shelf.put("0.0.9"),
        "self_test": shelf.put("0.2.3", {"agent/making/worker.py": appended("import nothing_such")}),
        "bad_bundle": shelf.serve("0.2.4", good.content),
        "not_fetched": (good, {"sha256": "0" * 64}),
    }
    for code, one in bad.items():
        bundle, other = one if isinstance(one, tuple) else (one, {})
        cloud.command(bundle.job(code, **other))
        said = end_of(cloud, code)
        assert (said.status, said.code) == ("failed", code)
    changed = bytearray(good.content)
    changed[-1] ^= 1
    cloud.command(shelf.serve("0.2.5", bytes(changed)).job("changed"))
    assert end_of(cloud, "changed").code == "bad_signature"
    assert release_files.read(tmp_path / "state").trial is None
    assert len({one.session_id for one in cloud.all_of(type(cloud.wait_online()))}) == 1
    pours(cloud, AGENT_VERSION)


CRASHES: dict[str, tuple[Patch, dict[str, Any], str]] = {
    "crashes": ({"agent/service.py": appended("if 'run' in __import__('sys').argv: raise SystemExit(3)")}, {}, "ended"),
    "hangs": (
        {"agent/cli.py": lambda text: text.replace("def _run(", "def _run(*_):\n    signal.pause()\n\n\ndef _was(")},
        {"ready_within_s": 1.0},
        "ended",
    ),
    "never connects": (
        {"agent/cloud/link.py": lambda text: text.replace("if now >= self._dial_after", "if now < 0")},
        {"ready_within_s": 2.0},
        "the broker was not connected",
    ),
}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=() if how == "never connects" else pytest.mark.long) for how in CRASHES]
)
def test_a_version_that_does_not_come_up_makes_way(start: Start, cloud: CloudSide, shelf: Shelf, how: str) -> None:
    patch, more, why = CRASHES[how]
    start()
    said = asked(cloud, shelf.put(NEWER, patch, **more))
    assert (said.status, said.code) == ("failed", "rolled_back")
    assert why in said.words
    pours(cloud, AGENT_VERSION)


def test_an_order_that_is_live_is_waited_for(
    start: Start, cloud: CloudSide, machine: MachineSimulator, shelf: Shelf
) -> None:
    start()
    cloud.wait_ready()
    bundle = shelf.put()
    shelf.gives.clear()
    cloud.command(bundle.job())
    wait_until(lambda: answers(cloud), PATIENCE_S, what="it to begin")  # one that comes with an order is refused: busy
    cloud.make()
    wait_until(lambda: machine.poured("o1"), what="the pour to begin")
    shelf.gives.set()
    assert cloud.outcome().result == "done"
    told = cloud.heard.index(cloud.outcome())
    assert end_of(cloud).status == "done"
    tried = [one for one in cloud.all_of(State) if "being" in one.reason]
    assert all(cloud.heard.index(one) > told for one in tried)


ALWAYS = {"the trial is written"}


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step in ALWAYS else pytest.mark.long) for step in (*BEFORE_THE_TRIAL, *ON_TRIAL)],
)
def test_killed_at_any_step_one_working_version_is_left(
    start: Start, cloud: CloudSide, shelf: Shelf, step: str, tmp_path: Path
) -> None:
    start(step)
    said = asked(cloud, shelf.put())
    assert (tmp_path / "state/has-died").exists()
    expected = ("failed", "interrupted") if step in BEFORE_THE_TRIAL else ("done", "")
    assert (said.status, said.code) == expected
    pours(cloud, AGENT_VERSION if step in BEFORE_THE_TRIAL else NEWER)


DIES = """
def dying(original, when):
    import os, pathlib, signal
    marker = pathlib.Path(os.environ["COFFEE_AGENT_STATE_DIR"]) / "has-died"
    def armed(*args, **more):
        result = original(*args, **more) if when == "after" else None
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result if when == "after" else original(*args, **more)
    return armed

"""


@pytest.mark.long
@pytest.mark.parametrize("step", ["begin", "_stay"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_new_version_killed_on_its_trial_is_tried_once_more(
    start: Start, cloud: CloudSide, shelf: Shelf, step: str, when: str, tmp_path: Path
) -> None:
    place = "Probation.begin" if step == "begin" else "Probation._stay"
    start()
    text = QUICK["agent/update/probation.py"]
    killed: Patch = {
        "agent/update/probation.py": lambda source: appended(f"{DIES}{place} = dying({place}, {when!r})")(text(source))
    }
    said = asked(cloud, shelf.put(NEWER, killed))
    assert (tmp_path / "state/has-died").exists()
    assert said.status == "done"
    pours(cloud, NEWER)
