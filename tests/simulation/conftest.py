"""One workshop for all worlds of a test process."""

from collections.abc import Iterator

import pytest

from tests.simulation.workshop import Workshop


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    with Workshop() as one:
        yield one
