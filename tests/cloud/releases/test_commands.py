"""`coffee-cloud release start` as docs/operations.md prints it."""

import re

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cloud.cli import main
from cloud.database.transaction import Transaction
from cloud.releases import rollouts
from cloud.releases.models import Rollout, RolloutState
from cloud.releases.rollouts import Plan
from protocol.reasons import AnswerStatus
from tests.cloud.releases.fleet import ANNA, PUBLIC, Fleet, a_bundle
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, SECRET_KEY, World
from tests.deploy.shipped import ROOT

DAY_S = 86_400


def start(world: World, *words: str) -> str:
    world.database.transact(rollouts.add, a_bundle(), [PUBLIC], ANNA, world.now)
    told = release(world, "start", "0.2.0", *words)
    return "" if told.exit_code == 0 else told.output


def release(world: World, *words: str) -> Result:
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": str(world.database.url)}
    return CliRunner().invoke(main, ["release", *words], env=settings)


def test_every_option_that_the_guide_shows_is_taken(sqlite_world: World) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    shown = re.findall(r"^    coffee-cloud release start .*?; (--first .*)$", guide, re.MULTILINE)
    assert start(sqlite_world, *shown[0].split()) == ""
    with sqlite_world.database.read() as session:
        rollout = session.scalars(select(Rollout)).one()
        assert (rollout.waves, rollout.soak_s) == (["1", "10%", "all"], DAY_S)


@pytest.mark.parametrize("soak", ["1w", "d", "-1d", "1.5h"])
def test_what_is_no_time_is_refused_in_words(soak: str, sqlite_world: World) -> None:
    assert "seconds, or such as 30m, 2h or 1d" in start(sqlite_world, f"--soak={soak}")


def test_the_status_says_what_a_rollout_waits_for(sqlite_world: World) -> None:
    """Regression: "running", and no word of the machine that it waited for."""
    fleet = Fleet(sqlite_world)
    fleet.goes(DEVICE, online=False)
    fleet.start()
    fleet.step()
    assert "waits for: machines that are offline, to ask them (1)\n" in release(sqlite_world, "status").output
    fleet.goes(DEVICE, online=True)
    fleet.step()
    assert "waits for: machines that were asked (1)\n" in release(sqlite_world, "status").output
    fleet.answer(DEVICE, AnswerStatus.DONE)
    fleet.step()
    assert "waits for: the end of the soak, 2026-" in release(sqlite_world, "status").output
    fleet.runs(DEVICE, "0.1.0")
    told = "machines that have it and are offline or run another version since, a day at the most (1)"
    assert f"waits for: {told}\n" in release(sqlite_world, "status").output
    fleet.closes(OTHER_DEVICE)
    assert "wave 2: 1 out of service\n" in release(sqlite_world, "status").output


def test_what_is_told_is_the_rollout_that_goes_on(sqlite_world: World) -> None:
    """Regression: an older one that a program of before had brought back asked machines unseen."""
    database, now = sqlite_world.database, sqlite_world.now
    database.transact(rollouts.add, a_bundle("0.3.0"), [PUBLIC], ANNA, now)
    start(sqlite_world)
    database.transact(rollouts.stop, "", now)
    newer = database.transact(rollouts.start, Plan("0.3.0"), ANNA, now).rollout.id

    def as_before(tx: Transaction) -> None:
        tx.session.get_one(Rollout, newer).state = RolloutState.DONE.value
        tx.session.get_one(Rollout, newer - 1).state = RolloutState.RUNNING.value

    assert release(sqlite_world, "status").output.startswith("0.3.0: running")
    database.transact(as_before)
    assert release(sqlite_world, "status").output.startswith("0.2.0: running")
