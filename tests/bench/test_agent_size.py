"""The agent's scales: one start gives every promised figure, and it is recorded. Times nothing."""

import json
from pathlib import Path

import pytest

from bench import agent_size


@pytest.mark.usefixtures("mosquitto")
def test_one_start_measures_everything_that_is_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real part is asked for, so that a missing one is skipped as everywhere; the bench starts its own."""
    agent_size.main(["--starts", "1", "--record", str(tmp_path)])
    told = capsys.readouterr().out
    (path,) = tmp_path.glob("agent-*.json")
    recorded = json.loads(path.read_text())
    for name in agent_size.LIMITS:
        assert f"| {name} | " in told
    assert 1 < recorded["installed"] < 1000
    assert recorded["resident_idle"] > 1
    assert len(recorded["heartbeats"]) == len(recorded["machine_told"]) == 1
    assert 0 < recorded["heartbeats"][0] <= recorded["machine_told"][0]


def test_what_is_above_its_limit_is_not_good() -> None:
    kept = agent_size.Figures(30.0, 39.0, 5.0, 3.0, [0.4, 0.6], [0.8])
    assert [kept.judged[name] < limit for name, limit in agent_size.LIMITS.items()] == [True, True, True]
    broken = agent_size.Figures(30.0, 41.0, 45.0, 3.0, [0.4, 1.6], [0.8])
    assert [broken.judged[name] < limit for name, limit in agent_size.LIMITS.items()] == [False, False, False]
