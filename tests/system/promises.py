"""What must hold of every order in the end, told by who cannot be wrong: the machine's cups, the provider's books.

`wait_kept(world, bought)` waits for the order's end and for its money's, then fails naming every promise broken.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud.background.loops import utc_now
from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.orders.models import FAILED_TO_MOVE, MakeCommand, Movement, Order, OrderChange
from cloud.orders.models import Payment as OurPayment
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import FINAL, Status
from cloud.orders.tasks import Lane
from simulator.yookassa.refunds import Refund
from simulator.yookassa.state import Payment
from simulator.yookassa.state import Status as ProviderStatus
from tests.system.world import Bought, World
from tests.waiting import wait_until

END_WITHIN_S = 60.0
_SIGN = {"captured": 1, "refunded": -1, "held": 0, "canceled": 0} | dict.fromkeys(FAILED_TO_MOVE, 0)


@dataclass(frozen=True)
class Ended:
    """How an order stands."""

    status: str
    reason: str
    goodwill: bool
    cups: int
    touched: int
    """Cups something flowed into."""
    price: int
    kept: int
    """By the merchant, in the provider's books."""
    held: int
    returning: int
    returned_at_provider: list[int]
    """Each return that took place or is under way."""
    ledger: int
    history: list[tuple[str, str]]
    commands: int
    open_promises: list[str]
    is_waiting: bool
    """A deadline of the order is still to come."""

    @property
    def is_over(self) -> bool:
        """Nothing more will happen by itself."""
        quiet = not self.held and not self.returning and not self.open_promises
        return self.status in {status.value for status in FINAL} and quiet and not self.is_waiting

    def broken(self) -> list[str]:
        """Every promise that does not hold."""
        good = self.status == Status.SUCCESSFUL
        keeps = self.price if good and not self.goodwill else 0
        statuses = ["", *(after for _, after in self.history)]
        was_given_up = Status.MAKE_FAILED in statuses[:-1]
        checks = {
            f"{self.cups} cups of one order": self.cups <= 1 and self.touched <= 1,
            f"successful with {self.cups} cups": not good or self.cups == 1,
            f"a cup, but {self.status} ({self.reason})": self.cups == 0 or good,
            f"the merchant keeps {self.kept} of {self.price}": self.kept == keeps,
            "goodwill, though the drink was never given up": was_given_up or not self.goodwill,
            f"the ledger sums to {self.ledger}, the provider keeps {self.kept}": self.ledger == self.kept,
            f"returned {len(self.returned_at_provider)} times": len(self.returned_at_provider) <= 1,
            f"{self.commands} commands of one payment": self.commands <= 1,
            f"the history has a gap: {self.history}": [before for before, _ in self.history] == statuses[:-1],
        }
        return [says for says, holds in checks.items() if not holds]


def wait_kept(world: World, bought: Bought) -> Ended:
    """The order at its end, every promise kept; fails saying which are not."""
    last: list[Ended] = []

    def is_settled() -> bool:
        last.append(look(world, bought))
        return last[-1].is_over and not last[-1].broken()

    try:
        wait_until(is_settled, END_WITHIN_S, what=f"order {bought.order_id} to end as it should")
    except AssertionError as late:
        raise AssertionError(f"{late}\n{last[-1]}\nbroken: {last[-1].broken()}") from None
    return last[-1]


def wait_all_kept(world: World, bought: Iterable[Bought]) -> list[Ended]:
    """The same of several orders."""
    return [wait_kept(world, each) for each in bought]


def look(world: World, bought: Bought) -> Ended:
    """How the order stands now, in our books and in theirs."""
    payments = world.payments(bought)
    refunds = _refunds(world, payments)
    poured = world.machines[bought.device].poured(bought.order_id)
    with world.database.read() as session:
        order = session.get_one(Order, bought.order_id)
        return Ended(
            status=order.status,
            reason=order.reason,
            goodwill=order.goodwill,
            cups=sum(cup.is_full for cup in poured),
            touched=len(poured),
            price=bought.price,
            kept=sum(payment.captured - payment.refunded for payment in payments),
            held=sum(payment.held for payment in payments),
            returning=sum(payment.refunding for payment in payments),
            returned_at_provider=[refund.amount for refund in refunds]
            + [payment.released for payment in payments if payment.released],
            ledger=_ledger(session, bought),
            history=_history(session, bought),
            commands=len(session.scalars(select(MakeCommand.id).where(MakeCommand.order_id == bought.order_id)).all()),
            open_promises=_open_promises(session, bought),
            is_waiting=order.due_at is not None or order.return_after is not None,
        )


def check_all_kept(world: World) -> None:
    """Once more: no order of this world has changed for the worse since its end."""
    broken = {each.order_id: found for each in world.bought if (found := look(world, each).broken())}
    assert not broken, str(broken)


def let_leases_run_out(world: World, *, of_the_living: bool = False) -> None:
    """As if the time had passed for which a killed program (or anybody) had reserved its work."""
    alive = set() if of_the_living else {str(program.pid) for program in [*world.webs, *world.workers]}

    before = utc_now() - timedelta(seconds=1)

    def run_out(tx: Transaction, row: type[Base], row_id: object, **values: object) -> None:
        tx.session.execute(update(row).where(row.__table__.c.id == row_id).values(values))

    with world.database.read() as session:
        held = session.execute(select(OutboxRow.id, OutboxRow.claimed_by).where(OutboxRow.claimed_by != "")).all()
        asked = session.scalars(select(OurPayment.id).where(OurPayment.next_check_at > utc_now())).all()
    # Each by itself: who holds no order must not wait for one row while holding another.
    for row_id, owner in held:
        if owner.rsplit("-", 2)[1] not in alive:
            world.database.transact(run_out, OutboxRow, row_id, claimed_until=before)
    for payment_id in asked:
        world.database.transact(run_out, OurPayment, payment_id, next_check_at=before)


def _refunds(world: World, payments: list[Payment]) -> list[Refund]:
    _, refunds, _ = world.provider.provider.snapshot()
    ids = {payment.id for payment in payments}
    return [refund for refund in refunds if refund.payment_id in ids and refund.status is not ProviderStatus.CANCELED]


def _ledger(session: Session, bought: Bought) -> int:
    rows = session.scalars(select(Movement).where(Movement.order_id == bought.order_id)).all()
    return sum(_SIGN[row.kind] * row.amount for row in rows)


def _history(session: Session, bought: Bought) -> list[tuple[str, str]]:
    rows = select(OrderChange).where(OrderChange.order_id == bought.order_id).order_by(OrderChange.id)
    return [(row.status_before, row.status_after) for row in session.scalars(rows)]


def _open_promises(session: Session, bought: Bought) -> list[str]:
    rows = select(OutboxRow).where(OutboxRow.order_id == bought.order_id, OutboxRow.settled_at.is_(None))
    return [f"{row.task}: {row.last_error}" for row in session.scalars(rows) if row.lane == Lane.PROVIDER]
