"""A slice of the fuzzing that `python -m tests.agent.fuzz` does for hours."""

from pathlib import Path

import pytest

from tests.agent import fuzz


@pytest.mark.parametrize(
    ("seconds", "seed"),
    [(6.0, 1), pytest.param(60.0, 2, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
@pytest.mark.usefixtures("mosquitto")
def test_nothing_dies_of_nonsense(seconds: float, seed: int, tmp_path: Path) -> None:
    """The real part is asked for, so that a missing one is skipped as everywhere; the fuzzing starts its own."""
    folder = tmp_path / "fuzz"
    folder.mkdir()
    found = fuzz.run(folder, seconds, seed)
    assert found.wrong == [], str(found)
    assert found.messages > 20
    assert found.damaged > 5
    assert found.calms >= 1
