"""What nobody can observe: charged for only by the merchant's explicit word, and never told to the buyer as made."""

from collections.abc import Iterator

import pytest

from cloud.fleet.apply import apply
from protocol.reasons import DoubtCode, Result
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE, World

pytestmark = pytest.mark.any_database


@pytest.fixture
def rig(till: Till) -> Iterator[TmetrRig]:
    with a_tmetr_rig(till.world) as made:
        made.heartbeats.step(till.world.now)
        made.change(unobserved="trust")
        yield made


@pytest.fixture
def legacy_world(sqlite_world: World) -> World:
    """Its machine has an agent that can only send."""
    decide(sqlite_world, "trust")
    return sqlite_world


def decide(world: World, word: str) -> None:
    """The merchant's word, in the fleet file."""
    text = f"""
[[device]]
device_uuid = "{DEVICE}"
merchant = "north"
payment_scenario = "Yookassa"
unobserved = "{word}"
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = {PRICE} }}
"""
    apply(world.database, world.vault, text, {})


def report(world: World, order_id: str, result: Result, code: str = "", revision: int = 1) -> None:
    world.report(order_id, result, code, revision=revision)


def test_trusted_and_forwarded_the_money_is_taken_and_nothing_is_called_ready(till: Till, rig: TmetrRig) -> None:
    order_id = till.paid()
    rig.send()
    till.work()
    order = till.world.order(order_id)
    assert (order.status, order.stage, order.uncertain) == ("successful", "unobserved", False)
    assert till.booked(order_id)["captured"] == PRICE
    assert till.world.ledger(order_id) == {"held": PRICE, "captured": PRICE}
    assert len(rig.tmetr.cups(order_id)) == rig.makes() == 1
    assert till.world.open_tasks(order_id) == []


def test_the_history_names_the_merchant_and_no_machine(till: Till, rig: TmetrRig) -> None:
    order_id = till.paid()
    rig.send()
    last = till.world.history(order_id)[-1]
    assert (last.event, last.actor, last.evidence) == ("outcome_trusted", "merchant", {"unobserved": "trust"})
    assert "machine_done" not in [change.event for change in till.world.history(order_id)]


@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_page_never_says_ready_without_the_machines_word(till: Till, rig: TmetrRig, language: str) -> None:
    order_id = till.paid()
    rig.send()
    page = till.client().get(f"/v1/order-status-page?order_id={order_id}&lang={language}").text
    assert {"ru": "Команда передана автомату", "en": "The machine has been told to pour"}[language] in page
    assert {"ru": "Готово!", "en": "It’s ready!"}[language] not in page
    assert till.client().get(f"/v1/order-status/{order_id}").get_json()["stage"] == "unobserved"


def test_while_the_drink_may_still_be_poured_the_next_buyer_is_told_before_paying(till: Till, rig: TmetrRig) -> None:
    """Regression: by the merchant's word the first was over at once, and the next was sent into a working machine."""
    till.paid()
    rig.send()
    order_id = till.world.scan()
    of_page = {"json": {"order_id": order_id, "slot": ""}}
    till.world.clock.advance(3)
    answer = till.press(order_id, **of_page)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "busy")
    assert answer.headers["Retry-After"] == "87"
    till.world.clock.advance(87)
    assert till.press(order_id, **of_page).status_code == 200


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.ERROR_500, FaultKind.RESET, FaultKind.REFUSE])
def test_only_a_plain_yes_is_trusted(till: Till, rig: TmetrRig, kind: FaultKind) -> None:
    rig.tmetr.fault(kind, Endpoint.MAKE)
    if kind is FaultKind.HANG:
        rig.be_hasty()
    order_id = till.paid()
    rig.send()
    assert till.world.status(order_id) == "make_failed"
    till.world.wait(till.world.rules.uncertain_grace_s + 1)
    till.work()
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}


def test_a_yes_after_the_deadline_was_judged_is_not_trusted(till: Till, rig: TmetrRig) -> None:
    order_id = till.paid()
    [row], _ = till.world.database.transact(rig.sender._take, 1)
    letter_waits = till.world.rules.make_deadline_s + 1
    till.world.wait(letter_waits)
    rig.sender._send(row)
    assert till.world.status(order_id) == "make_failed"


def test_where_there_is_no_agent_none_is_asked_what_became_of_it(till: Till, rig: TmetrRig) -> None:
    rig.change(unobserved="return")
    order_id = till.paid()
    rig.send()
    till.world.wait(till.world.rules.ack_timeout_s + 1)
    assert till.world.status(order_id) == "make_failed"
    assert "query" not in [row.task for row in till.world.rows(order_id)]


def test_an_agent_that_can_only_send_is_trusted_too(legacy_world: World) -> None:
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    report(legacy_world, order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    order = legacy_world.order(order_id)
    assert (order.status, order.stage) == ("successful", "unobserved")
    assert legacy_world.open_tasks(order_id) == ["capture"]


def test_without_the_merchants_word_the_money_goes_back(legacy_world: World) -> None:
    decide(legacy_world, "return")
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    report(legacy_world, order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    legacy_world.wait(legacy_world.rules.uncertain_grace_s + 1)
    assert legacy_world.status(order_id) == "make_failed"
    assert "cancel" in legacy_world.open_tasks(order_id)


@pytest.mark.parametrize("code", ["", "interrupted"])
def test_a_real_doubt_is_never_trusted(legacy_world: World, code: str) -> None:
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    report(legacy_world, order_id, Result.UNKNOWN, code)
    order = legacy_world.order(order_id)
    assert (order.status, order.uncertain) == ("make_failed", True)


def test_what_comes_after_the_silence_was_judged_changes_nothing(legacy_world: World) -> None:
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    legacy_world.wait(legacy_world.rules.ack_timeout_s + 1)
    report(legacy_world, order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    assert legacy_world.status(order_id) == "make_failed"


def test_the_machines_late_word_that_nothing_was_poured_ends_the_trust(legacy_world: World) -> None:
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    report(legacy_world, order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    report(legacy_world, order_id, Result.FAILED, "never_started", revision=2)
    order = legacy_world.order(order_id)
    assert (order.status, order.stage, order.uncertain) == ("make_failed", "", False)
    assert legacy_world.open_tasks(order_id) == ["cancel"]


def test_the_same_report_again_is_nothing_new(legacy_world: World) -> None:
    order_id = legacy_world.pay()
    legacy_world.publish(order_id)
    for _ in range(2):
        report(legacy_world, order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    assert [c.event for c in legacy_world.history(order_id)].count("outcome_trusted") == 1
