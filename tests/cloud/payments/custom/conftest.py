"""Tills at a merchant with its own payment page."""

from collections.abc import Iterator

import pytest

from tests.cloud.payments.custom_till import CustomTill, a_custom_till
from tests.cloud.worlds import World


@pytest.fixture
def till(world: World) -> Iterator[CustomTill]:
    """A merchant with status and action addresses, on each database."""
    with a_custom_till(world) as made:
        yield made


@pytest.fixture
def callbacks_only(sqlite_world: World) -> Iterator[CustomTill]:
    """A merchant who offers nothing but callbacks."""
    with a_custom_till(sqlite_world, ()) as made:
        yield made
