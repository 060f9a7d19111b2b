"""`demo --once` with each fault: exit code, verdict, the log docs/one-coffee.md shows, nothing left; wrong usage."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from protocol.machine import MakeDrink, to_frame
from simulator.cli import main
from simulator.demo.fleet import DEVICE
from simulator.demo.once import WentWrong, buy
from simulator.demo.scenarios import SCENARIOS
from simulator.demo.stage import HURRIED, Stage
from simulator.machine.framing import encode
from tests.system.demo_runs import DemoRun, a_demo
from tests.waiting import wait_until

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("demos")]
"""Two demos start at once: on a busy machine that alone takes more than the usual limit."""
ALWAYS = ("none", "no_water")
LONG = [name for name in SCENARIOS if name not in ALWAYS]
VERDICTS = {
    "none": "As it should be: successful. One cup was poured, the payment was captured.",
    "no_water": "As it should be: make_failed. No cup was poured, the buyer has paid nothing.",
}
ONE_COFFEE = Path(__file__).parents[2] / "docs" / "one-coffee.md"
RETURN = "# The money goes back"
"""Where the page's second walk begins, which is the demo without water."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRun]]:
    """Every always-on fault at once: most of a run is waiting. Each starts when the one before has taken its ports."""
    folder = tmp_path_factory.mktemp("demos")
    with ExitStack() as closing:
        started = {}
        for name in ALWAYS:
            started[name] = run = closing.enter_context(a_demo(folder / name, "--once", "--logs", "--fault", name))
            run.wait_says("Cloud, agent, simulated machine and provider")
        yield started


@pytest.mark.parametrize("fault", ALWAYS)
def test_a_fault_ends_as_it_should_and_leaves_nothing_behind(fault: str, runs: dict[str, DemoRun]) -> None:
    run = runs[fault]
    assert run.end() == 0, run.output
    assert VERDICTS[fault] == run.output.splitlines()[-1]
    assert run.left_behind() == []


@pytest.mark.parametrize(("fault", "walk"), [("none", 0), ("no_water", 1)])
def test_it_logs_the_lines_of_the_page_about_one_coffee(fault: str, walk: int, runs: dict[str, DemoRun]) -> None:
    text = ONE_COFFEE.read_text("utf-8").split(RETURN)[walk]
    fenced = "\n".join(re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).splitlines()
    shown = [line for line in fenced if re.match(r"(cloud|agent)\.", line)]
    assert len(shown) >= 4
    run = runs[fault]
    assert run.end() == 0, run.output
    missing = [line for line in shown if not re.search(".*".join(map(re.escape, line.split("..."))), run.output)]
    assert missing == []


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        *(["--fault", name] for name in LONG),
        ["--one-stage"],
        ["--one-stage", "--fault", "no_water"],
        ["--one-stage", "--fault", "silent"],
        ["--own-broker"],
        ["--own-broker", "--fault", "agent_offline"],
        ["--own-broker", "--one-stage", "--fault", "mid_pour_crash"],
    ],
    ids=" ".join,
)
def test_so_does_every_other_way_to_run_it(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    with a_demo(tmp_path_factory.mktemp("demo") / "run", "--once", *arguments) as run:
        assert run.end() == 0, run.output
        assert run.output.splitlines()[-1].startswith("As it should be: ")
        assert run.left_behind() == []


@pytest.mark.long
def test_a_machine_that_its_faults_have_closed_sells_again_once_all_is_repaired() -> None:
    """Regression: two power cuts in mid-pour closed it for good, as no page of the demo told."""
    with Stage(HURRIED, brew_s=1.5, has_operator=True) as stage:
        stage.wait_selling()
        for _ in range(2):
            buy(stage, SCENARIOS["mid_pour_crash"])
        with pytest.raises(WentWrong):
            buy(stage, SCENARIOS["none"])
        requests.delete(f"{stage.machine.url}/api/faults", timeout=10)
        menu = f"{stage.cloud_url}/m/{DEVICE}"
        wait_until(lambda: "Автомат временно" not in requests.get(menu, timeout=10).text, what="it to be open")
        timeline, _ = buy(stage, SCENARIOS["none"])
        assert stage.machine.cups(timeline.order_id) == 1


@pytest.mark.long
def test_a_cup_that_something_flows_into_once_the_agent_is_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it looked at once, and at full cups only."""
    with Stage(HURRIED, brew_s=30.0) as stage:
        stage.wait_selling()

        def pour() -> None:
            ((payment, _),) = stage.yookassa.provider.snapshot()[0]
            make = MakeDrink(
                order_uuid=str(payment.request.metadata["order_id"]), drink_no="americano", text_flag="1", price=17900
            )
            with open(stage.machine.tty, "wb", buffering=0) as line:
                line.write(encode(to_frame(make)))

        monkeypatch.setattr(stage, "restart_agent", pour)
        monkeypatch.setattr("simulator.demo.once.POURS_WITHIN_S", 60.0)
        _, wrong = buy(stage, SCENARIOS["agent_offline"])
        assert wrong == ["something flowed into 1 cup(s), should be 0 at most"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fault", "no_water"], "--fault and --logs go with --once"),
        (["--logs"], "--fault and --logs go with --once"),
        (["--once", "--fault", "earthquake"], "invalid choice: 'earthquake'"),
        (["--twice"], "unrecognized arguments: --twice"),
        (["--port", "front"], "invalid int value: 'front'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_two_and_says_why(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        sys.exit(main(["demo", *arguments]))
    told = capsys.readouterr().err
    assert (refused.value.code, says in told) == (2, True), told
