"""Whoever presses "pay" for a machine that cannot pour is told so, and no payment is opened ."""

from typing import Any

import pytest
from sqlalchemy import delete, update

from cloud.fleet.models import DeviceLive, Drink
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE

pytestmark = pytest.mark.any_database

NO_WATER = {"code": "no_water", "level": "block", "drinks": []}


@pytest.mark.parametrize(
    ("online", "state", "code"),
    [
        (False, {}, "offline"),
        (True, {"link": "down"}, "machine_offline"),
        (True, {"link": "up", "selling": False}, "not_selling"),
        (True, {"link": "up", "machine": "ready", "faults": [NO_WATER]}, "no_water"),
        (True, {"link": "up", "machine": "brewing", "busy_order": "another"}, "busy"),
    ],
)
def test_no_payment_is_opened_for_a_machine_that_cannot_pour(
    till: Till, online: bool, state: dict[str, Any], code: str
) -> None:
    order_id = till.world.scan()
    till.world.database.transact(_let_the_machine_be, online, state)

    answer = till.press(order_id)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, code)
    assert till.payments_there() == []
    assert till.world.status(order_id) == "created"


def test_the_machine_being_well_again_the_same_order_is_sold(till: Till) -> None:
    order_id = till.world.scan()
    till.world.database.transact(_let_the_machine_be, False, {})
    assert till.press(order_id).status_code == 503

    till.world.database.transact(_let_the_machine_be, True, {"link": "up", "machine": "ready"})

    assert till.press(order_id).status_code == 200


@pytest.mark.parametrize("machine", ["brewing", "rinsing", "heating"])
def test_what_passes_before_the_buyer_has_paid_stops_nobody(till: Till, machine: str) -> None:
    """The machine's own word of it comes with a heartbeat, up to 5 s after the last cup is out."""
    order_id = till.world.scan()
    till.world.database.transact(_let_the_machine_be, True, {"link": "up", "machine": machine, "busy_order": None})

    assert till.press(order_id).status_code == 200


@pytest.mark.parametrize("was_closed", [False, True], ids=["open", "closed before"])
def test_a_drink_removed_from_the_menu_is_not_sold_to_who_has_its_page_open(till: Till, was_closed: bool) -> None:
    order_id = till.world.scan()
    if was_closed:
        till.world.database.transact(lambda tx: tx.session.execute(update(Drink).values(closed_since=till.world.now)))
    till.world.database.transact(lambda tx: tx.session.execute(delete(Drink)))

    answer = till.press(order_id)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "drink_closed")
    assert till.payments_there() == []
    assert till.world.status(order_id) == "created"


def _let_the_machine_be(tx: Any, online: bool, state: dict[str, Any]) -> None:
    live = tx.session.get_one(DeviceLive, DEVICE)
    live.online, live.state = online, state
