"""A database put back to an earlier state, where a machine remembers no command: what may have been poured is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.orders import carriers
from cloud.orders.states import Status
from tests.cloud.backup.restoring import Restorable
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE


@pytest.fixture
def rig(till: Till) -> Iterator[TmetrRig]:
    with a_tmetr_rig(till.world) as made:
        made.heartbeats.step(till.world.now)
        yield made


@pytest.fixture
def there(till: Till, rig: TmetrRig, tmp_path: Path) -> Restorable:
    made = Restorable(till, tmp_path)
    made.takes_money("on_dispense")
    return made


@pytest.mark.parametrize("was_pending", [True, False])
def test_what_was_paid_before_the_restore_is_never_forwarded_again(
    there: Restorable, till: Till, rig: TmetrRig, was_pending: bool
) -> None:
    """Regression: a payment younger than the fast track poured its order a second time."""
    if was_pending:
        order_id = till.open_payment()
        there.back_up()
    else:
        there.back_up()
        order_id = till.open_payment()
    till.buyer_pays(order_id)
    till.look_at(order_id)
    rig.send()
    till.world.clock.advance(till.world.rules.make_deadline_s)
    there.restore()
    there.come_to_rest()
    rig.send()
    order = till.world.order(order_id)
    assert (order.status, order.reason, order.waits_for_person) == (Status.MAKE_FAILED, "restored", True)
    assert till.booked(order_id)["held"] == PRICE, "a person decides"
    assert len(rig.tmetr.cups(order_id)) == 1
    with till.world.database.read() as session:
        assert carriers.unheard_of(session, [DEVICE], till.world.now, 50) == [], "an agent left there knows nothing"


def test_what_is_paid_since_the_restore_is_poured(there: Restorable, till: Till, rig: TmetrRig) -> None:
    order_id = till.world.scan()
    there.back_up()
    there.restore()
    there.come_to_rest()
    till.open_payment(order_id)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    rig.send()
    assert till.world.status(order_id) == Status.MAKE_PENDING
    assert len(rig.tmetr.cups(order_id)) == 1
