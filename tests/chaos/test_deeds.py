"""The deeds of a campaign: the same for the same seed, nobody suffers twice at once, everybody suffers something."""

from collections import defaultdict

import pytest

from tests.chaos.deeds import LONG_OUTAGE, WEIGHTS, Deed, Fleet, Kind, agent_of, draw

FLEET = Fleet(("web 0", "web 1"), ("worker 0", "worker 1"), ("m-001", "m-002", "m-003"))
SECONDS = 300.0


def deeds(seed: int, seconds: float = SECONDS) -> list[Deed]:
    return draw(seed, seconds, FLEET, every_s=1.0)


def test_the_same_seed_draws_the_same_deeds_and_another_draws_others() -> None:
    assert deeds(7) == deeds(7)
    assert deeds(7) != deeds(8)


@pytest.mark.parametrize("seed", range(5))
def test_all_is_undone_within_the_campaign_and_nobody_suffers_twice_at_once(seed: int) -> None:
    free_from: dict[str, float] = defaultdict(float)
    for deed in deeds(seed):
        assert 0 <= deed.at <= deed.at + deed.lasts <= SECONDS
        for name in deed.whom:
            assert deed.at >= free_from[name]
            free_from[name] = deed.at + deed.lasts


def test_a_long_campaign_has_everything_for_everybody() -> None:
    drawn = [deed for seed in range(5) for deed in deeds(seed)]
    assert {deed.kind for deed in drawn} == {*WEIGHTS, Kind.BROKER_FORGETS} == set(Kind)
    for kind in (Kind.KILL, Kind.PAUSE):
        programs = {*FLEET.webs, *FLEET.workers, *map(agent_of, FLEET.machines)}
        assert {name for deed in drawn if deed.kind is kind for name in deed.whom} == programs
    assert max(deed.lasts for deed in drawn) > LONG_OUTAGE[0]


def test_a_short_one_has_only_short_outages() -> None:
    assert max(deed.lasts for seed in range(20) for deed in deeds(seed, seconds=30.0)) < LONG_OUTAGE[0]
