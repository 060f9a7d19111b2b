"""The promises of every order of a campaign, held against the machines' own cups and the provider's own books."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select

from cloud.orders.at_risk import each_at_risk
from cloud.orders.models import MakeCommand, Order
from cloud.orders.states import Status
from protocol.reasons import Result, Spout
from simulator.yookassa.state import Payment
from tests.chaos.hands import Done
from tests.chaos.timeline import utc_now
from tests.system.promises import Ended, look
from tests.system.world import Bought, World

STARTS_LATE_BY = timedelta(seconds=10)
"""Allowed between the deadline and the first drop that is seen: the cup, the grinder, a machine under load."""


@dataclass(frozen=True)
class Judged:
    """One order. `ended` None: no order of this name ever reached the cloud."""

    bought: Bought
    ended: Ended | None
    broken: tuple[str, ...]
    is_unknowable: bool = False
    """A full cup of which its machine could not tell, power lost before it was noted, or itself says that it failed:
    nobody can know better, and the money went back."""

    @property
    def is_over(self) -> bool:
        return self.ended is None or self.ended.is_over


class Judge:
    """Looks as often as asked; what is broken while an order is under way may come right by its end."""

    def __init__(self, world: World, done: Done, flowed: Mapping[str, datetime], complaints: Mapping[str, str]) -> None:
        self._world = world
        self._done = done
        self._flowed = flowed
        self._complaints = complaints

    def judge(self, bought: Bought) -> Judged:
        """The order as it stands."""
        payments = self._world.payments(bought)
        with self._world.database.read() as session:
            is_known = session.get(Order, bought.order_id) is not None
        if not is_known:
            return Judged(bought, None, tuple(self._of_unknown(bought, payments)))
        ended = look(self._world, bought)
        untold = bought.order_id in self._done.unknowable or self._was_called_failed(bought)
        unknowable = ended.status == Status.MAKE_FAILED and untold
        known = replace(ended, cups=ended.cups - 1) if unknowable else ended
        broken = [*known.broken(), *self._of_cups(bought, ended, payments)]
        return Judged(bought, ended, tuple(broken), unknowable)

    def money_at_risk(self) -> list[str]:
        """Money taken or held and neither poured nor returned; empty at the end of a good campaign."""
        with self._world.database.read() as session:
            return [
                f"{money.order_id}: {money.kopecks} kopecks at risk, {money.action}"
                for money in each_at_risk(session, utc_now())
            ]

    def _of_unknown(self, bought: Bought, payments: list[Payment]) -> list[str]:
        touched = self._world.machines[bought.device].poured(bought.order_id)
        broken = ["a cup of an order nobody knows"] if touched else []
        return [*broken, "money for an order nobody knows"] if any(p.authorized for p in payments) else broken

    def _of_cups(self, bought: Bought, ended: Ended, payments: list[Payment]) -> list[str]:
        broken = []
        if ended.touched and not any(payment.authorized for payment in payments):
            broken.append("poured, and the provider never had the money")
        if complaint := self._complaints.get(bought.order_id):
            broken.append(complaint)
        if late := self._started_late(bought):
            broken.append(late)
        return broken

    def _was_called_failed(self, bought: Bought) -> bool:
        """The machine stopped between the last drop and its own "done": by its word failed, and all of it came out."""
        said = (MakeCommand.result == Result.FAILED.value, MakeCommand.out == Spout.FULL.value)
        with self._world.database.read() as session:
            found = select(MakeCommand.id).where(MakeCommand.order_id == bought.order_id, *said)
            return session.scalar(found) is not None

    def _started_late(self, bought: Bought) -> str:
        seen = self._flowed.get(bought.order_id)
        if seen is None:
            return ""
        with self._world.database.read() as session:
            deadlines = session.scalars(select(MakeCommand.deadline_at).where(MakeCommand.order_id == bought.order_id))
            latest = max(deadlines, default=None)
        if latest is None or seen <= latest + STARTS_LATE_BY:
            return ""
        if any(who == bought.device and since <= seen and until >= latest for who, since, until in self._done.pauses):
            return ""
        return f"the drink started {(seen - latest).total_seconds():.1f} s after its deadline"
