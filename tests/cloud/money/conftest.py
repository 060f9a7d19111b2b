"""Markets for one test each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.money.market import Market, a_market


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    """Two merchants at one simulated provider in this process."""
    with a_market(tmp_path) as made:
        yield made
