"""Rules and board for a Prometheus and a Grafana that are there anyway: they fire as meant, ask for what there is."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest

from cloud.metrics.counts import Counter, Counts
from cloud.metrics.totals import Keeper
from cloud.operators.metrics import COUNTED, Metrics
from tests.cloud.worlds import World, a_world
from tests.real_parts import PROMTOOL, missing

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
BOARD = DEPLOY / "grafana"
METRIC = re.compile(r"\bcoffee_\w+")
PART = re.compile(r"(?<=_seconds)_(bucket|count|sum)$")
"""Of a histogram."""


@pytest.mark.parametrize("command", [("check", "rules", "rules.yml"), ("test", "rules", "tests.yml")])
def test_the_rules_hold_what_their_own_tests_say(command: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    if PROMTOOL.where is None:
        missing(PROMTOOL)
    request.node.user_properties.append(("real part", PROMTOOL.name))
    done = subprocess.run(
        [PROMTOOL.program, *command], cwd=RULES.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_is_as_prometheus_wants_it(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if PROMTOOL.where is None:
        missing(PROMTOOL)
    request.node.user_properties.append(("real part", PROMTOOL.name))
    with a_world(f"sqlite:///{tmp_path}/coffee.db") as world:
        counts = Counts()
        for metric in COUNTED:
            values = ['a "b"\\'] * len(metric.labels)
            if isinstance(metric, Counter):
                counts.count(metric, *values)
            else:
                counts.observe(metric, 0.7, *values)
        Keeper(world.database, counts).end()
        page = Metrics(world.database, lambda: ()).text(world.now)
    done = subprocess.run(
        [PROMTOOL.program, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture
def exposed(tmp_path: Path) -> set[str]:
    with a_world(f"sqlite:///{tmp_path}/coffee.db") as world:
        return _names(world)


def _names(world: World) -> set[str]:
    told = Metrics(world.database, lambda: ()).text(world.now)
    return set(re.findall(r"^# TYPE (\S+)", told, re.M))


def test_they_ask_for_metrics_that_there_are(exposed: set[str]) -> None:
    asked = set(METRIC.findall(RULES.read_text())) | set(METRIC.findall((BOARD / "coffee-relay.json").read_text()))
    assert len(asked) > 8
    assert {PART.sub("", name) for name in asked} <= exposed


def test_each_metric_is_documented_and_each_documented_one_is_there(exposed: set[str]) -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("### Metrics\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in METRIC.findall(row)) == sorted(exposed)


def test_every_rule_has_its_page_in_the_runbook() -> None:
    anchors = set(re.findall(r'id="([\w-]+)"', (ROOT / "docs" / "runbook.md").read_text()))
    named = re.findall(r"runbook: docs/runbook\.md#(\S+)", RULES.read_text())
    assert len(named) == RULES.read_text().count("- alert:")
    assert set(named) <= anchors


def test_every_rule_is_tried_by_its_tests() -> None:
    tried = (RULES.parent / "tests.yml").read_text()
    assert [name for name in re.findall(r"- alert: (\w+)", RULES.read_text()) if name not in tried] == []


def test_the_board_is_what_its_program_draws() -> None:
    spec = importlib.util.spec_from_file_location("board", BOARD / "board.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    assert json.loads((BOARD / "coffee-relay.json").read_text()) == drawing.board()


def test_the_board_shows_workers_alive_at_the_broker_and_hearing(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if PROMTOOL.where is None:
        missing(PROMTOOL)
    request.node.user_properties.append(("real part", PROMTOOL.name))
    panels = json.loads((BOARD / "coffee-relay.json").read_text())["panels"]
    [panel] = [panel for panel in panels if panel["title"] == "Workers"]
    all_three = [(f'coffee_workers_{what}{{instance="cloud"}}', number)
                 for number, what in enumerate(("hearing", "at_broker", "alive"), 1)]  # fmt: skip
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": str(value)} for series, value in all_three],
        "promql_expr_test": [
            {
                "expr": target["expr"],
                "eval_time": "0m",
                "exp_samples": [{"labels": series, "value": value} for series, value in all_three],
            }
            for target in panel["targets"]
        ],
    }
    (tmp_path / "board.json").write_text(json.dumps({"tests": [case]}))  # YAML holds JSON
    done = subprocess.run(
        [PROMTOOL.program, "test", "rules", "board.json"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
