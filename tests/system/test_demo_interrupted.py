"""Ctrl-C at every stage of the demo: it ends in order, with nothing running and no folder left.

Once it serves: `test_demo_in_a_browser.py`.
"""

from pathlib import Path

import pytest

from tests.system.demo_runs import DemoRun, a_demo

STAGES = {
    "its folder is there": "coffee-demo-*",
    "the broker starts": "coffee-demo-*/broker/*.log",
    "the database is made": "coffee-demo-*/cloud/cloud-migrate.log",
    "the fleet is applied": "coffee-demo-*/cloud/cloud-apply.log",
    "the cloud starts": "coffee-demo-*/cloud/cloud.log",
    "the agent starts": "coffee-demo-*/agent/agent.log",
}
ALWAYS = ("the database is made",)


def check_ended(run: DemoRun, code: int, last_words: str) -> None:
    assert run.interrupt() == code, run.output
    assert run.output.splitlines()[-1] == last_words
    assert run.left_behind() == []


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[] if stage in ALWAYS else pytest.mark.long) for stage in STAGES]
)
def test_interrupted_when(stage: str, tmp_path: Path) -> None:
    with a_demo(tmp_path / "demo", "--port", "0") as run:
        run.wait_made(STAGES[stage])
        check_ended(run, 1, "Ended before it began.")


@pytest.mark.long
def test_interrupted_while_it_buys(tmp_path: Path) -> None:
    with a_demo(tmp_path / "demo", "--once", "--fault", "silent") as run:
        run.wait_says("Cloud, agent, simulated machine and provider")
        check_ended(run, 1, "Ended before its end.")


@pytest.mark.long
def test_interrupted_again_while_it_is_ending(tmp_path: Path) -> None:
    with a_demo(tmp_path / "demo", "--port", "0") as run:
        run.address()
        run.send_interrupt()
        run.wait_says("Ending.")
        run.interrupt()
        assert run.left_behind() == []
