"""The updater in this very process: what it keeps on the disk, and when it takes no job."""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import AGENT_VERSION
from agent.clock import Bell
from agent.live_state import LiveState
from agent.update import release_files, versions
from agent.update.updater import Updater
from agent.update.versions import Versions
from protocol.reasons import AnswerStatus, RejectCode
from tests.agent.update.bundles import NEWER, Shelf, a_shelf
from tests.agent.world import VirtualClock

BEFORE = "0.0.9"
ON_TRIAL = versions.to_be_tried(
    versions.begun(Versions(current=BEFORE), "u1", AGENT_VERSION), "0.0.1", 60.0, was_ready=True
)
"""This process is the version on trial."""


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with a_shelf(tmp_path / "shelf") as made:
        yield made


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """With this version, the one before it, and one that nobody needs."""
    for version in (AGENT_VERSION, BEFORE, "0.0.8"):
        release_files.folder_of(tmp_path, version).mkdir(parents=True)
    return tmp_path


def updater_of(state_dir: Path, shelf: Shelf) -> Updater:
    keys = (b64decode(shelf.public),)
    return Updater(state_dir, "m-001", keys, (), VirtualClock(), LiveState(Bell()), lambda: None, test=lambda _: "")


def kept(state_dir: Path) -> set[str]:
    return {path.name for path in (state_dir / release_files.FOLDER).iterdir()}


@pytest.mark.parametrize(
    "known", [versions.proved(ON_TRIAL), versions.rolled_back(ON_TRIAL, "it was never ready")], ids=["stays", "leaves"]
)
def test_what_runs_and_what_runs_next_stay_beside_what_comes(state_dir: Path, shelf: Shelf, known: Versions) -> None:
    """One that makes way runs on for a moment, and the one before is what the next start runs."""
    release_files.write(state_dir, known)
    updater = updater_of(state_dir, shelf)
    assert updater.begin(shelf.put().job("u2")).status is AnswerStatus.STARTED
    assert updater._thread is not None
    updater._thread.join(60)
    assert kept(state_dir) == {AGENT_VERSION, known.current, NEWER}


def test_on_trial_another_update_is_refused_and_the_trial_goes_on(state_dir: Path, shelf: Shelf) -> None:
    """Regression: it deleted the files of the version that ran, and took its trial's place: nobody heard of its end."""
    release_files.write(state_dir, ON_TRIAL)
    updater = updater_of(state_dir, shelf)
    said = updater.begin(shelf.put().job("u2"))
    assert (said.status, said.code) == (AnswerStatus.REFUSED, RejectCode.BUSY)
    assert updater.begin(shelf.put("0.3.0").job("u1")).status is AnswerStatus.STARTED, "its own job is known"
    assert release_files.read(state_dir) == ON_TRIAL
    assert AGENT_VERSION in kept(state_dir)
