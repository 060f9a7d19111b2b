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
    second: str = ""
    """Our id of it where that is not its OrderId: the bank opened it beside the payment of that name."""

    @property
    def refunded(self) -> int:
        """What is known to be back."""
        return sum(self.returns.values())


LedgerView = Callable[[str, str], Booked | None]
"""Our payment by T-Bank's OrderId and PaymentId; None when the OrderId is none of ours."""


def ledger_view_of(database: Database) -> LedgerView:
    """The payments of this database."""

    def booked(name: str, provider_payment_id: str) -> Booked | None:
        with database.read() as session:
            named = session.get(Payment, name)
            if named is None:
                return None
            same = (Payment.provider_payment_id == provider_payment_id, Payment.order_id == named.order_id)
            noted = session.scalars(select(Payment).where(*same)).first()
            if noted is None and named.provider_payment_id is not None:  # of that name, and not taken in
                return Booked(named.order_id, named.amount)
            payment = noted or named
            returns = select(Movement.reference, Movement.amount)
            returns = returns.where(Movement.payment_id == payment.id, Movement.kind == "refunded")
            of_it = {row.reference: row.amount for row in session.execute(returns)}
            second = payment.id if payment is not named else ""
            return Booked(payment.order_id, payment.captured or payment.amount, of_it, second)

    return booked
