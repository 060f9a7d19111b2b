"""`coffee-cloud release start` as docs/operations.md prints it."""

import re

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cloud.cli import main
from cloud.releases import rollouts
from cloud.releases.models import Rollout
from tests.cloud.releases.test_stager import ANNA, PUBLIC, a_bundle
from tests.cloud.worlds import SECRET_KEY, World
from tests.deploy.shipped import ROOT

DAY_S = 86_400


def start(world: World, *words: str) -> str:
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": str(world.database.url)}
    world.database.transact(rollouts.add, a_bundle(), [PUBLIC], ANNA, world.now)
    told = CliRunner().invoke(main, ["release", "start", "0.2.0", *words], env=settings)
    return "" if told.exit_code == 0 else told.output


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
