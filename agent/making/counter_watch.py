"""Every reading of the counters, whoever asked for it: what nobody ordered is told, and may stop the selling."""

import logging
from dataclasses import dataclass

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Snapshot
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.unordered_drinks import UnorderedDrinks
from protocol.reasons import EventKind

LOCAL_SALE = "local_sale"
"""The code of a drink that the machine sold by itself."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CounterWatch:
    """Weighs each movement by what the profile knows of this machine."""

    unordered: UnorderedDrinks
    journal: Journal
    driver: Driver
    profile: Profile
    clock: Clock

    def judge_counter(self) -> None:
        """Does what this machine counts still prove anything?"""
        sells = self.profile.counting.local_sales
        self.driver.counter_is_believed = not (self.journal.sales_block.has_sold_by_itself if sells is None else sells)

    def forgive(self) -> None:
        """A person has looked: what was counted until now is explained, and the counter is believed anew."""
        self.unordered.forgive()
        self.judge_counter()

    def weigh_reading(self, reading: Snapshot) -> None:
        """A sale of its own stops nothing, but takes the counter's word away; a drink beside ours stops the selling."""
        moved = self.unordered.count(reading, self.clock.monotonic())
        if not moved.strays:
            return
        is_local = moved.is_local_sale if (sells := self.profile.counting.local_sales) is None else sells
        code, counted, ordered = LOCAL_SALE if is_local else "", moved.counted, moved.ordered
        record_event = self.journal.event_log.record_event
        record_event(EventKind.COUNTER_MOVED, code, counted=counted, ordered=ordered, total=reading.total)
        if is_local:
            self.journal.sales_block.note_local_sale()
            self.judge_counter()
            return
        why = f"the counter moved by {counted} and {ordered} drinks were ordered; needs a person"
        log.error("selling stops: %s", why)
        self.journal.sales_block.stop_selling(why)
