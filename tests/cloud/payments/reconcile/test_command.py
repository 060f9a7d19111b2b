"""`coffee-cloud reconcile` and `coffee-cloud at-risk`: what they print, and how they end; once as a program."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cloud.cli import main
from cloud.payments.reconcile.days import Day
from tests.cloud.payments.reconciling import change_payment, refund_in_cabinet, sold
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import ACCOUNT, PRICE, SECRET_KEY, World

ROOT = Path(__file__).parents[4]
GOOD, BAD, WRONG_USAGE = 0, 1, 2


@pytest.fixture
def real_till(sqlite_world: World) -> Iterator[Till]:
    """In the world's own time: the program has no other."""
    sqlite_world.clock.now = datetime.now(UTC)
    with a_till(sqlite_world) as made:
        yield made


def environ(till: Till) -> dict[str, str]:
    return {
        "COFFEE_SECRET_KEY": SECRET_KEY,
        "COFFEE_DATABASE_URL": str(till.world.database.url),
        "COFFEE_YOOKASSA_URL": till.yookassa.url,
        "COFFEE_YOOKASSA_RATE": "1000",
    }


def sold_on(till: Till) -> str:
    """Not `today`, which may have become another day meanwhile."""
    return Day.of(till.world.now).date.isoformat()


def run(till: Till, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments], env=environ(till))


def told(till: Till, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run(till, *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_clean_day_ends_well(real_till: Till) -> None:
    sold(real_till)
    command = [sys.executable, "-m", "cloud", "reconcile", "--day", sold_on(real_till)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environ(real_till), capture_output=True, text=True, check=False
    )
    assert done.returncode == GOOD, done.stderr
    assert f"north, Yookassa, shop {ACCOUNT}: all agree" in done.stdout
    assert "north, machines: nothing to compare; 2 without counts to compare\n" in done.stdout
    assert "taken     179.00 there, 179.00 here" in done.stdout
    assert "Europe/Moscow" in done.stdout


def test_a_difference_is_told_with_what_to_do_and_ends_badly(real_till: Till) -> None:
    order_id = sold(real_till)
    change_payment(real_till, order_id, captured=PRICE - 100)
    refund_in_cabinet(real_till, order_id, "50.00")
    done = run(real_till, "reconcile", "--day", sold_on(real_till))
    assert done.exit_code == BAD, done.stderr
    assert f"UNEXPLAINED  amount_differs  order {order_id}" in done.stdout
    assert "here 178.00, there 179.00" in done.stdout
    assert f"ASKED AGAIN  refunded_not_here  order {order_id}" in done.stdout
    assert "The provider returned money our books do not know of." in done.stdout
    assert "-> The provider is asked again by itself" in done.stdout
    real_till.world.clock.now = datetime.now(UTC)
    real_till.work()
    assert real_till.world.ledger(order_id)["refunded"] == 5000, "a worker, asked again, has taken it in"


def test_a_program_reads_it_as_json(real_till: Till) -> None:
    order_id = sold(real_till)
    change_payment(real_till, order_id, captured=1)
    code, answer = told(real_till, "reconcile", "--day", sold_on(real_till), "--merchant", "north")
    assert (code, answer["clean"], answer["zone"]) == (BAD, False, "Europe/Moscow")
    [shop], [machines] = answer["shops"], answer["machines"]
    [found] = shop["findings"]
    assert (found["kind"], found["state"], found["order_id"]) == ("amount_differs", "open", order_id)
    assert (found["here"], found["there"]) == (1, PRICE)
    assert found["to_do"]
    assert (machines["findings"], machines["machines"], machines["compared"]) == ([], 2, 0)


@pytest.mark.parametrize(
    "arguments", [["--day", "2199-01-01"], ["--day", "soon"], ["--day", "today", "--merchant", "nobody"]]
)
def test_a_day_or_merchant_that_does_not_exist_is_wrong_usage(real_till: Till, arguments: list[str]) -> None:
    done = run(real_till, "reconcile", *arguments)
    assert done.exit_code == WRONG_USAGE
    assert "Traceback" not in done.stderr


def test_money_at_risk_is_told_and_ends_badly_only_when_it_waits_for_a_person(real_till: Till) -> None:
    assert run(real_till, "at-risk").stdout == "No money is at risk.\n"
    order_id = real_till.paid()
    code, answer = told(real_till, "at-risk")
    assert (code, answer["kopecks"]) == (GOOD, PRICE)
    assert [(risk["action"], risk["payments"]) for risk in answer["actions"]] == [("pouring", 1)]
    assert [money["order_id"] for money in answer["payments"]] == [order_id]
    change_payment(real_till, order_id, account_id="another")
    done = run(real_till, "at-risk")
    assert done.exit_code == BAD
    assert f"{order_id}: 179.00 held" in done.stdout
    assert "no key of its shop" in done.stdout


def test_money_only_reconciliation_sees_is_at_risk_until_a_person_has_looked(real_till: Till) -> None:
    """Regression: a return cancelled later at the provider was named in the night, and no money was at risk."""
    order_id = sold(real_till)
    real_till.world.refunded(real_till.world.payment(order_id).id, "rf-cancelled-later")
    run(real_till, "reconcile", "--day", sold_on(real_till))
    code, answer = told(real_till, "at-risk")
    [action], [difference] = answer["actions"], answer["differences"]
    assert (code, answer["kopecks"], action["action"]) == (BAD, PRICE, "difference")
    assert (difference["kind"], difference["order_id"], difference["kopecks"]) == (
        "refunded_only_here", order_id, PRICE,
    )  # fmt: skip
    in_words = run(real_till, "at-risk").stdout
    assert "No money is at risk" not in in_words
    assert f"number {difference['number']}, refunded_only_here: 179.00, order {order_id}" in in_words
    who = ("--by", "ops@example.org", "--reason", "paid out in cash")
    assert run(real_till, "settle", "999", *who).exit_code == BAD
    assert run(real_till, "settle", str(difference["number"]), *who).exit_code == GOOD
    again = run(real_till, "settle", str(difference["number"]), *who)
    assert (again.exit_code, "was closed before" in again.stderr) == (BAD, True)
    assert run(real_till, "at-risk").exit_code == GOOD
