"""Bugs planted one at a time are found, each within its number of worlds: a slice always, all of them with `--long`."""

from types import FunctionType

import pytest

from tests.simulation.planted import ALWAYS, BUGS, Planted, hunt, without
from tests.simulation.workshop import Workshop

CONTROL_WORLDS = 6
SLICE = [bug for bug in BUGS if bug.within <= ALWAYS][::3]
"""Of those that show at once."""


def named(bugs: list[Planted]) -> list[object]:
    return [pytest.param(bug, id=bug.name) for bug in bugs]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", named(SLICE))
def test_a_bug_that_shows_at_once_is_found(workshop: Workshop, bug: Planted) -> None:
    found(workshop, bug)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bug", named([bug for bug in BUGS if bug not in SLICE]))
def test_every_other_bug_is_found(workshop: Workshop, bug: Planted) -> None:
    found(workshop, bug)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bug", named(list(BUGS)))
def test_the_same_worlds_keep_every_promise_without_the_bug(workshop: Workshop, bug: Planted) -> None:
    told = hunt(workshop, without(bug, CONTROL_WORLDS))
    assert told is None, f"seed {told.seed}: {told.broken}"


@pytest.mark.parametrize("bug", named(list(BUGS)))
def test_what_is_planted_gives_something_where_the_real_function_does(bug: Planted) -> None:
    """Else it is found by what it breaks in its caller, and proves nothing of the mistake it is named after."""
    for one in bug.patches():
        if not hasattr(one, "getter"):  # only what `patch.object` makes has one
            continue
        real = getattr(one.getter(), one.attribute)  # type: ignore[attr-defined]  # raises where it has moved
        planted = getattr(one, "new", None)
        if isinstance(planted, FunctionType) and "return" in planted.__annotations__:
            assert (planted.__annotations__["return"] is None) == (real.__annotations__["return"] is None)


def test_there_are_enough_of_them() -> None:
    assert len(BUGS) >= 15
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {number for bug in BUGS for number in bug.promises} >= set(range(1, 11))


def found(workshop: Workshop, bug: Planted) -> None:
    told = hunt(workshop, bug)
    assert told is not None, f"{bug.within} worlds of {bug.families} do not show it"
