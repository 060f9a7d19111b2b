"""One number finds an order's whole way: each log line of it carries the number, and `trace` puts all in one order."""

import io
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloud.cli import main
from cloud.log import JsonLines
from protocol.reasons import Result as Outcome
from tests.cloud.tills import Till
from tests.cloud.worlds import SECRET_KEY

AGENT = '<6>{{"at": "{at}", "level": "info", "logger": "agent.making.send_make", "message": "sent", {ids}}}'


def trace(folder: Path, *words: str, stdin: str = "") -> Result:
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": f"sqlite:///{folder}/coffee.db"}
    return CliRunner().invoke(main, ["trace", *words], env=settings, input=stdin)


def poured(till: Till, result: Outcome = Outcome.DONE) -> str:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.accept(order_id)
    till.world.clock.advance(30)
    till.world.report(order_id, result)
    till.work(1)
    return order_id


@pytest.mark.parametrize("result", [Outcome.DONE, Outcome.FAILED, Outcome.UNKNOWN])
def test_each_line_about_an_order_carries_its_number(
    sqlite_till: Till, result: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    order_id = poured(sqlite_till, result)
    sqlite_till.world.wait(sqlite_till.world.rules.uncertain_grace_s + 1)
    sqlite_till.work(1)
    of_ours = [record for record in caplog.records if record.name.startswith("cloud")]
    assert len(of_ours) > 5
    assert [record.getMessage() for record in of_ours if getattr(record, "order_id", "") != order_id] == []


def test_it_tells_the_whole_way_by_time(sqlite_till: Till, tmp_path: Path) -> None:
    order_id = poured(sqlite_till)
    told = trace(tmp_path, order_id)
    assert told.exit_code == 0
    assert "accepted_to_poured 30.000 s" in told.output
    lines = told.output.splitlines()
    found = [
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("buyer    scanned", "cloud    command_issued", "machine  machine_done", "provider captured")
    ]
    assert found == sorted(found)
    assert trace(tmp_path, sqlite_till.provider_id(order_id)).output == told.output


def test_lines_of_web_worker_and_agent_stand_in_between(
    sqlite_till: Till, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    order_id, other = poured(sqlite_till), sqlite_till.paid()
    command = sqlite_till.world.command(order_id)
    cloud = tmp_path / "cloud.log"
    cloud.write_text("".join(JsonLines().format(record) + "\n" for record in caplog.records))
    ids = f'"order_id": "{order_id}", "command_id": "{command.id}"'
    stdin = io.StringIO()
    stdin.write(AGENT.format(at=command.accepted_at.isoformat() if command.accepted_at else "", ids=ids) + "\n")
    stdin.write(f"12:00:01.234 INFO cloud.orders: text about {order_id}\n{{not json {order_id}\n")
    told = trace(tmp_path, order_id, str(cloud), "-", stdin=stdin.getvalue()).output
    assert "log      agent.making.send_make: sent command_id=" in told
    assert "log      cloud.orders: order make_pending -> successful" in told
    assert "without a date           12:00:01.234 INFO cloud.orders: text about" in told
    assert other not in told


def test_an_order_nobody_knows(sqlite_till: Till, tmp_path: Path) -> None:
    sqlite_till.paid()
    told = trace(tmp_path, "nobody's")
    assert (told.exit_code, told.stderr) == (1, "no order is called nobody's\n")
