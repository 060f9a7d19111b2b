"""One `coffee-cloud run` for all tests that send it requests."""

from collections.abc import Iterator

import pytest

from tests.deploy.running_cloud import RunningCloud


@pytest.fixture(scope="package")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running_cloud = RunningCloud(tmp_path_factory.mktemp("running_cloud"))
    with running_cloud.serving():
        yield running_cloud
        assert "Traceback" not in running_cloud.program.output


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """It is started once, whatever the number of test processes."""
    for item in items:
        if "running_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("running_cloud"))
