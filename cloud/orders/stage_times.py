"""How long each stage of an order took, from its own moments: counted once, when the order has ended."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import product

from cloud.database.transaction import Transaction
from cloud.metrics.counts import Counts, Histogram
from cloud.orders.models import MakeCommand, Order
from cloud.orders.states import DRINK_ENDED, Status, values_of

BY_ITSELF = timedelta(seconds=1)
"""A command issued so soon after the money came was issued by it; any later one waited for a person."""
STAGES = (
    "paid_to_published", "published_to_accepted", "paid_to_accepted", "accepted_to_poured", "paid_to_finished",
)  # fmt: skip
STAGE_SECONDS = Histogram(
    "coffee_order_stage_seconds",
    "How long each stage of a paid order took, by how the order ended; one that waited for a person is left out.",
    ("stage", "status"),
    (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600),
    known=tuple(product(STAGES, values_of(DRINK_ENDED))),
)


class StageTimes:
    """Found by transactions of a process that counts; elsewhere nobody does."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def count(self, stages: Sequence[tuple[str, float]], status: str) -> None:
        """One order has ended."""
        for stage, seconds in stages:
            self._counts.observe(STAGE_SECONDS, seconds, stage, status)


def count_stages(tx: Transaction, order: Order, commands: Sequence[MakeCommand]) -> None:
    """This paid order ends with this transaction."""
    times: StageTimes | None = tx.dispatchers.get(StageTimes)
    if times is None or order.status not in DRINK_ENDED or not commands:
        return
    stages, status = list(stages_of(order, commands[-1])), order.status
    tx.after_commit(lambda: times.count(stages, status))


def stages_of(order: Order, issued: MakeCommand) -> Iterator[tuple[str, float]]:
    """Each stage that was begun and ended, in seconds."""
    poured = issued.finished_at if order.status == Status.SUCCESSFUL else None
    paid = order.paid_at
    if paid is not None and issued.issued_at - paid > BY_ITSELF:
        paid = None
    moments = (
        (paid, issued.published_at), (issued.published_at, issued.accepted_at), (paid, issued.accepted_at),
        (issued.accepted_at, poured), (paid, order.finished_at),
    )  # fmt: skip
    for stage, (begun, ended) in zip(STAGES, moments, strict=True):
        if begun is not None and ended is not None:
            yield stage, (ended - begun).total_seconds()
