"""One `coffee-cloud run` for all who knock at its doors."""

from collections.abc import Iterator

import pytest

from tests.deploy.doors import Doors


@pytest.fixture(scope="package")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    doors = Doors(tmp_path_factory.mktemp("doors"))
    with doors.serving():
        yield doors
        assert "Traceback" not in doors.program.output


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """It is started once, whatever the number of test processes."""
    for item in items:
        if "doors" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("doors"))
