"""What the agent's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A hot machine and a running agent, in virtual time."""
    made = World(tmp_path / "state")
    yield made
    made.close()
