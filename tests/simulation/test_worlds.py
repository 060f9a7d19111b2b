"""Every promise is kept: in twenty-four worlds always, two thousand with `--long`, ten thousand by `run.py worlds`."""

import pytest

from tests.simulation.mixes import LATER_FAMILIES, focused
from tests.simulation.told import Told
from tests.simulation.workshop import Workshop

A_GO = 12
"""Worlds in one test: they can be spread over processes."""
WORLDS, LONG_WORLDS = 2 * A_GO, 2000


@pytest.mark.timeout(900)
def test_every_promise_is_kept_in_worlds_that_hold_what_they_are_for(workshop: Workshop) -> None:
    """A world in which nothing happens keeps every promise, too."""
    told = _all_kept(workshop, 0)
    assert sum(one.orders for one in told) > len(told)
    assert sum(one.cups for one in told) > len(told) / 2
    assert sum(len(one.struck) for one in told) > 100
    assert {end.split()[0] for one in told for end in one.ends} >= {"successful", "make_failed", "failed"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(A_GO, WORLDS, A_GO))
def test_every_promise_is_kept_in_every_world(workshop: Workshop, first: int) -> None:
    _all_kept(workshop, first)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(WORLDS, LONG_WORLDS, A_GO))
def test_every_promise_is_kept_in_many_more_worlds(workshop: Workshop, first: int) -> None:
    _all_kept(workshop, first)


@pytest.mark.parametrize("family", LATER_FAMILIES)
def test_a_family_by_itself_strikes_and_every_promise_is_kept(workshop: Workshop, family: str) -> None:
    every = [workshop.tell(seed, mix=focused(seed, (family,), strength=2.5)) for seed in range(2)]
    assert {name.partition("#")[0] for told in every for name in told.struck} == set(LATER_FAMILIES[family])
    assert not [told.broken for told in every if told.broken]


def test_what_is_not_committed_is_lost(workshop: Workshop) -> None:
    """Regression: an engine of the simulation's own said no BEGIN, and each statement was committed by itself."""
    engine = workshop.engines.create(f"sqlite:///{workshop.folder / 'no-world.db'}", begin="BEGIN IMMEDIATE")
    with engine.connect() as connection, connection.begin():
        assert workshop.engines.in_transaction(workshop.engines.owner)
    workshop.engines.close_all()


def _all_kept(workshop: Workshop, first: int) -> list[Told]:
    every = [workshop.tell(seed) for seed in range(first, first + A_GO)]
    for told in every:
        again = f"python -m tests.simulation --seed {told.seed}"
        assert not told.broken, f"{again}\n{told.timeline.text(40)}\n{told.broken}"
    return every
