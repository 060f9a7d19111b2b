"""The evidence file proves itself: what was changed, or signed by another, is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cloud.access.signing import Signer
from cloud.cli import main
from cloud.console.orders.evidence import NotEvidence, verify
from cloud.fleet import closing
from cloud.fleet.closing import BREAKER
from cloud.fleet.models import Drink
from cloud.orders import archive
from cloud.orders.operator_actions import keep_money
from cloud.orders.order_limits import OrderLimits
from cloud.orders.return_requests import ReturnRequest
from protocol.reasons import Result
from tests.cloud.console.building import Console
from tests.cloud.console.made import a_request, poured
from tests.cloud.orders.test_operator_actions import silent
from tests.cloud.worlds import DEVICE, SECRET_KEY

OURS = Signer(SECRET_KEY)


def the_file(console: Console) -> str:
    order_id = poured(console.world)
    return console.client("support@north").get(f"/console/orders/{order_id}/evidence.json").text


def test_the_file_tells_everything_and_verifies(console: Console, tmp_path: Path) -> None:
    text = the_file(console)
    document = verify(text, OURS)
    assert document["order"]["status"] == "successful"
    assert document["happened"][0]["what"] == "scanned"
    assert any(line["what"] == "machine_done" and line["who"] == "machine" for line in document["happened"])
    assert verify(text, Signer("another secret key of more than thirty-two letters", (SECRET_KEY,))) == document
    file = tmp_path / "evidence.json"
    file.write_text(text, encoding="utf-8")
    environ = {"COFFEE_SECRET_KEY": SECRET_KEY}
    told = CliRunner().invoke(main, ["evidence", "verify", str(file)], env=environ)
    assert (told.exit_code, "true: order" in told.output) == (0, True)
    file.write_text(text.replace("successful", "make_failed"), encoding="utf-8")
    assert CliRunner().invoke(main, ["evidence", "verify", str(file)], env=environ).exit_code == 1
    assert OURS.public_key in CliRunner().invoke(main, ["evidence", "key"], env=environ).output


def test_an_order_at_rest_is_found_shown_and_proved(console: Console) -> None:
    world = console.world
    order_id = poured(world)
    payment_id = world.payment(order_id).id
    world.database.transact(archive.put_away, [order_id], world.now)
    support, stranger = console.client("support@north"), console.client("support@south")
    for name in (order_id, order_id[:-1], payment_id):
        found = support.get(f"/console/orders?q={name}")
        assert (found.status_code, found.location) == (303, f"/console/orders/{order_id}")
    assert stranger.get(f"/console/orders/{order_id}").status_code == 404
    assert order_id in support.get(f"/console/orders/{order_id}").text
    assert verify(support.get(f"/console/orders/{order_id}/evidence.json").text, OURS)["order"]["id"] == order_id


def test_a_drink_a_person_vouched_for_is_not_told_as_the_machines_word(console: Console) -> None:
    """Regression: the page and the signed file said that the machine had poured it, when the person pressed."""
    world, client = console.world, console.client("support@north")
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    world.database.transact(keep_money, order_id, "Анна", "видно на камере", world.now)
    text = client.get(f"/console/orders/{order_id}/evidence.json").text
    for language, told in verify(text, OURS)["verdict"].items():
        assert told.startswith({"ru": "Человек убедился", "en": "A person made sure"}[language]), told
    assert "Человек убедился" in client.get(f"/console/orders/{order_id}").text
    assert "Налит (проверено)" in client.get("/console/orders").text


def test_what_people_close_meanwhile_is_theirs_and_of_no_other_drink(console: Console) -> None:
    """Regression: another drink that a person closed stood there as the agent's "event: closed"."""
    world = console.world
    world.database.transact(lambda tx: tx.session.add(Drink(device_uuid=DEVICE, drink_no="mocha", name="Мокко")))
    order_id = poured(world)
    for drink_no, by in (("mocha", "Анна"), ("latte", "Анна"), ("", BREAKER)):
        world.database.transact(closing.close, DEVICE, drink_no, by, "пахнет", world.now)
    client = console.client("support@north")

    page = client.get(f"/console/orders/{order_id}").text
    document = verify(client.get(f"/console/orders/{order_id}/evidence.json").text, OURS)

    told = [(one["what"], one["who"], one.get("name")) for one in document["happened"] if "closed" in one["what"]]
    assert told == [("drink_closed", "person", "Анна"), ("closed", "cloud", None)]
    assert "Продажа этого напитка закрыта" in page
    assert "Автомат закрыт для продажи" in page


def _changed(whole: dict[str, Any]) -> None:
    whole["document"]["order"]["price"] += 1


def _unsigned(whole: dict[str, Any]) -> None:
    del whole["signature"]


def _other(whole: dict[str, Any]) -> None:
    whole["document"]["kind"] = "something else"


@pytest.mark.parametrize("spoil", [_changed, _unsigned, _other])
def test_what_is_not_ours_to_the_letter_is_no_evidence(console: Console, spoil: Any) -> None:
    whole = json.loads(the_file(console))
    spoil(whole)
    with pytest.raises(NotEvidence):
        verify(json.dumps(whole), OURS)


def test_another_key_is_not_ours(console: Console) -> None:
    with pytest.raises(NotEvidence, match="signature"):
        verify(the_file(console), Signer("another secret key of more than thirty-two letters"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"document": 1, "signature": 2}'])
def test_rubbish_is_no_evidence(text: str) -> None:
    with pytest.raises(NotEvidence):
        verify(text, OURS)


def test_no_technician_takes_sums_home(console: Console) -> None:
    order_id = console.world.pay()
    console.world.publish(order_id)
    console.world.report(order_id, Result.DONE)
    technician = console.client("technician@north")
    assert technician.get(f"/console/orders/{order_id}/evidence.json").status_code == 403
    page = technician.get(f"/console/orders/{order_id}").text
    assert page.count("179") == 0


def test_nor_that_of_a_return_that_is_asked_for(console: Console) -> None:
    request_id = a_request(console)
    with console.cloud.database.read() as session:
        order_id = session.get_one(ReturnRequest, int(request_id)).order_id
    page = console.client("technician@north").get(f"/console/orders/{order_id}").text
    assert "Возврат ··· ждёт второго человека" in page
    assert page.count("179") == 0
