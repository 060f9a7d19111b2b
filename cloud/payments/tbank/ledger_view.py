"""What our own ledger adds to T-Bank's answers: it gives back neither our marks, nor a list of refunds, nor what a
payment was before part of it was returned. Reads our payments; changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from cloud.database.database import Database
from cloud.orders.models import Movement, Payment


@dataclass(frozen=True)
class Booked:
    """A payment as we have it, in kopecks: what it is to bring or brought, and each return by its reference."""

    order_id: str
    amount: int
    returns: Mapping[str, int] = field(default_factory=dict)

    @property
    def refunded(self) -> int:
        """What is known to be back."""
        return sum(self.returns.values())


LedgerView = Callable[[str], Booked | None]
"""Our payment by its id, which is T-Bank's OrderId; None when it is none of ours."""


def ledger_view_of(database: Database) -> LedgerView:
    """The payments of this database."""

    def booked(payment_id: str) -> Booked | None:
        with database.read() as session:
            payment = session.get(Payment, payment_id)
            if payment is None:
                return None
            returns = select(Movement.reference, Movement.amount)
            returns = returns.where(Movement.payment_id == payment_id, Movement.kind == "refunded")
            of_it = {row.reference: row.amount for row in session.execute(returns)}
            return Booked(payment.order_id, payment.captured or payment.amount, of_it)

    return booked
