"""The commands about one order, as people type them."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.cli import main
from cloud.orders.order_limits import OrderLimits
from tests.cloud.orders.test_operator_actions import poured, silent
from tests.cloud.worlds import SECRET_KEY, World


@pytest.fixture
def order_id(sqlite_world: World) -> str:
    return poured(sqlite_world)


def run(folder: Path, *words: str, limit: str = "500") -> Result:
    settings = {
        "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": f"sqlite:///{folder}/coffee.db",
        "COFFEE_RETURN_LIMIT": limit,
    }  # fmt: skip
    return CliRunner().invoke(main, [*words], env=settings)


def test_money_is_returned_and_not_twice(tmp_path: Path, order_id: str, sqlite_world: World) -> None:
    words = ("return", order_id, "--by", "ann@example.com", "--reason", "cold")
    told = run(tmp_path, *words)
    assert (told.exit_code, "17900 kopecks will be returned" in told.output) == (0, True)
    assert run(tmp_path, *words).exit_code == 1
    assert sqlite_world.open_tasks(order_id) == ["refund"]


def test_above_the_limit_it_waits_for_another_person(tmp_path: Path, order_id: str, sqlite_world: World) -> None:
    asked = ("return", order_id, "--by", "ann@example.com", "--reason", "cold", "--kind", "bad_drink")
    assert "request 1 waits" in run(tmp_path, *asked, limit="100").output
    assert "ann@example.com" in run(tmp_path, "returns").output
    assert run(tmp_path, "approve", "1", "--by", "ANN@example.com").exit_code == 1
    assert sqlite_world.open_tasks(order_id) == []
    assert run(tmp_path, "approve", "1", "--by", "bob@example.com").exit_code == 0
    assert sqlite_world.open_tasks(order_id) == ["refund"]
    assert run(tmp_path, "decline", "1", "--by", "bob@example.com", "--reason", "late").exit_code == 1


def test_money_is_kept_where_a_person_decides_and_nowhere_else(tmp_path: Path, sqlite_world: World) -> None:
    sqlite_world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(sqlite_world)
    words = ("keep", order_id, "--by", "ann@example.com", "--reason", "seen on the camera")
    told = run(tmp_path, *words)
    assert (told.exit_code, "The drink counts as poured" in told.output) == (0, True)
    assert run(tmp_path, *words).exit_code == 1


def test_a_drink_is_poured_again_once(tmp_path: Path, order_id: str) -> None:
    assert "free order again-" in run(tmp_path, "pour", order_id, "--by", "ann@example.com").output
    assert run(tmp_path, "pour", order_id, "--by", "ann@example.com").exit_code == 1
