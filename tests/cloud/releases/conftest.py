"""A small fleet."""

import pytest

from tests.cloud.releases.fleet import Fleet
from tests.cloud.worlds import World


@pytest.fixture
def fleet(world: World) -> Fleet:
    return Fleet(world)
