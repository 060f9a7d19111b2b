"""A drink poured once more for a buyer whose first one went wrong: an order of its own, free, and no sale.

The first order keeps its one drink and its money (promise 1). Never while what became of it is open: the machine may
still be pouring, or have poured, and a second cup would prove the first one wrong.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.orders import archive
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.making import NotPourable, issue_command, pour_now
from cloud.orders.models import Order, OrderChange
from cloud.orders.order_ids import again_order_id
from cloud.orders.order_limits import OrderLimits, seconds
from cloud.orders.states import DRINK_ENDED, ON_ITS_WAY, Status
from cloud.orders.status_change import add_note, begin_history

AGAIN_EACH = 3
"""Free drinks for one order."""
AGAIN_A_DAY = 10
"""Free drinks of one machine in any 24 hours: whoever pours them, they are the merchant's beans."""
FREE = "free"
"""What opened such an order (`Order.opened_by`)."""
BEGUN, INSTEAD_OF = "poured_again", "instead_of"
"""How its history begins, and what that names the first order by."""
DAY = timedelta(days=1)


def pour_again(
    tx: Transaction, order_id: str, by: str, why: str, rules: OrderLimits, now: datetime, shown: int | None = None
) -> str:
    """Pour the drink for its buyer now; the id of the order that does it. Raises `UnknownOrder` and `NotPourable`.

    A drink that was paid late and not poured yet is poured as itself, any other as a free order. `shown`: the
    `drinks_so_far` a page told of; None where no page showed it.
    """
    locked = lock_order(tx, order_id)
    if locked.order.status == Status.MANUAL_MAKE:
        pour_now(tx, order_id, by[:64], rules, now)
        return order_id
    number = _next_number(tx, locked, now, shown)
    again_id = again_order_id(order_id, number)
    again = _free_order(locked.order, again_id, rules, now)
    its = locked.together.create(again, locked.control)
    begin_history(its, BEGUN, by[:64], now, why[:128], {INSTEAD_OF: order_id})
    tx.write()  # the command refers to it
    issue_command(its, rules, now)
    add_note(locked, BEGUN, by[:64], now, why[:128], {"order": again_id})
    return again_id


def drinks_so_far(order: Order, again: int) -> int:
    """How many were tried for its buyer: none while it waits for a person, else its own and `again` free ones."""
    return 0 if order.status == Status.MANUAL_MAKE else 1 + again


def why_not_again(order: Order) -> str:
    """Why the drink of this order cannot be poured once more, as a code; "" when it can."""
    status = Status(order.status)
    if status is Status.MAKE_FAILED and order.uncertain:
        return "outcome_open"
    if status in ON_ITS_WAY:
        return "outcome_open"
    if status in DRINK_ENDED | {Status.MANUAL_MAKE} and order.opened_by != FREE:
        return ""
    return "unpaid"


def price_of_drink(session: Session, order: Order) -> int:
    """Kopecks the order's drink costs there: of a free one, what the first order's did."""
    if order.opened_by != FREE:
        return order.price
    begun = select(OrderChange.evidence).where(OrderChange.order_id == order.id, OrderChange.event == BEGUN)
    evidence = session.scalar(begun.order_by(OrderChange.id).limit(1)) or {}
    first = session.get(Order, str(evidence.get(INSTEAD_OF)))
    return first.price if first is not None else order.price


def _next_number(tx: Transaction, locked: LockedOrder, now: datetime, shown: int | None) -> int:
    order = locked.order
    if code := why_not_again(order):
        raise NotPourable(code)
    archive.bring_back(tx, [again_order_id(order.id, each) for each in range(1, AGAIN_EACH + 1)])
    number = 1
    while number <= AGAIN_EACH:
        earlier = tx.session.get(Order, again_order_id(order.id, number))
        if earlier is None:
            break
        if (code := why_not_again_after(earlier)) != "":
            raise NotPourable(code)
        number += 1
    if shown not in {None, drinks_so_far(order, number - 1)}:  # an old page's button would pour once more
        raise NotPourable("poured_meanwhile" if shown else "stale")
    of_machine = (Order.device_uuid == order.device_uuid) & (Order.created_at > now - DAY) & (Order.opened_by == FREE)
    poured = int(tx.session.scalar(select(func.count()).where(of_machine)) or 0)
    if number > AGAIN_EACH or poured >= AGAIN_A_DAY:
        raise NotPourable("too_many")
    return number


def why_not_again_after(earlier: Order) -> str:
    """The same, of the free drink that was poured before."""
    is_open = earlier.uncertain or earlier.status not in DRINK_ENDED
    return "outcome_open" if is_open else ""


def _free_order(order: Order, again_id: str, rules: OrderLimits, now: datetime) -> Order:
    """Paid with nothing: no payment, no sale."""
    expires_at = now + seconds(rules.order_expiration_s)
    return fresh(
        Order, id=again_id, device_uuid=order.device_uuid, merchant_id=order.merchant_id, drink_no=order.drink_no,
        drink_name=order.drink_name, size=order.size, price=0, is_test=True, status=Status.PAID.value,
        payment_scenario=order.payment_scenario, created_at=now, expires_at=expires_at, paid_at=now,
        language=order.language, opened_by=FREE,
    )  # fmt: skip
