"""Asking the machine what became of an order, and weighing its answer with boots and counters by the table."""

from dataclasses import dataclass

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, Snapshot, Verdict, Word
from agent.live_state import LiveState
from agent.machine.capability_rules import STATUS, Duty
from agent.machine.conversation import Conversation
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making import outcome_table
from agent.making.outcome_table import Boot, Facts, Growth, Row, Says
from protocol.machine import OrderReply
from protocol.messages import Evidence
from protocol.reasons import MachineState, Phase, Spout

REMEMBERED_ORDERS = 60
"""The machine keeps 64; an order further back may have been forgotten even by a memory that survives reboots."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The row of the table that fits, and what it was fitted to. `verdict` is None while waiting is right."""

    row: Row
    verdict: Verdict | None
    phase: Phase | None
    history: str | None
    same_boot: bool


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything that counts as evidence, collected for one command."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    clock: Clock
    profile: Profile

    def inquire(self, command: Command) -> Conversation[Finding | None]:
        """None when the machine does not answer. Raises `LineLost`."""
        if not self.driver.is_greeted and not (yield from self.driver.greet()):
            return None
        order: OrderReply | None = None
        if not self.driver.must(Duty.USE_COUNTERS):
            order = yield from self._lookup(command.order_id)
            if order is None:
                return None
        elif self.driver.can(STATUS) and (yield from self.driver.status()) is None:
            return None
        now = yield from self._count(command)
        return self._weigh(command, order, now)

    def _lookup(self, order_id: str) -> Conversation[OrderReply | None]:
        """An answer of another boot than the one greeted is not believed before it is given twice."""
        order = yield from self.driver.lookup(order_id)
        if order is None or self.driver.is_greeted:
            return order
        if not (yield from self.driver.greet()):
            return None
        return (yield from self.driver.lookup(order_id))

    def _count(self, command: Command) -> Conversation[Snapshot | None]:
        if not self.driver.can("counters"):
            return None
        reply = yield from self.driver.counters()
        return None if reply is None else Snapshot.from_reply(reply, command.drink_no)

    def _weigh(self, command: Command, order: OrderReply | None, now: Snapshot | None) -> Finding:
        """With all that the machine has said by this moment, also while it was being asked."""
        before = command.snapshot
        boot = self._boot(before)
        facts = Facts(
            says=self._says(command, order),
            boot=boot,
            growth=self._growth(command, now),
            word=self._word(command),
            out=order.out if order else Spout.UNKNOWN,
            waited_out=self._waited_out(command),
            start_always_counts=self.profile.counting.start_always_counts,
            is_idle=self.driver.must(Duty.USE_COUNTERS) and self._is_idle(command),
        )
        row = outcome_table.resolve(facts)
        evidence = Evidence(
            rule=row.name,
            phase=order.phase if order else None,
            history=order.hist if order else None,
            boot_before=before.boot_id if before else None,
            boot_now=self.driver.boot_id or None,
            count_before=before.count if before else None,
            count_now=now.count if now else None,
        )
        verdict = outcome_table.verdict(row, facts, evidence)
        return Finding(row, verdict, evidence.phase, evidence.history, boot is Boot.SAME)

    def _boot(self, before: Snapshot | None) -> Boot:
        if not self.profile.knows_boots:
            return Boot.UNTOLD
        return Boot.SAME if before is not None and before.boot_id == self.driver.boot_id else Boot.CHANGED

    def _says(self, command: Command, order: OrderReply | None) -> Says:
        if order is None:
            return Says.UNSUPPORTED
        says = outcome_table.says(order.phase, order.out, order.hist)
        if says is Says.NEVER_SEEN and self.journal.sent_after(command) >= REMEMBERED_ORDERS:
            return Says.NOT_IN_MEMORY
        return says

    def _word(self, command: Command) -> Word:
        known = self.journal.get(command.command_id)
        return command.word if known is None else known.word

    def _growth(self, command: Command, now: Snapshot | None) -> Growth:
        """Usable only when nothing but this order can have moved the counter."""
        before = command.snapshot
        if before is not None and now is not None and before.fell_to(now):
            return Growth.FELL
        is_alone = self.driver.counter_is_believed and self.journal.is_countable(command)
        if before is None or now is None or not is_alone or command.is_past_counting:
            return Growth.UNUSABLE
        return outcome_table.growth(before.growth(now, is_free=command.price == 0))

    def _is_idle(self, command: Command) -> bool:
        """What it says of itself is just heard, for it is asked each time."""
        since = self.live_state.view.at_rest_since
        if since is None:
            return False
        at_rest_for = min(self.clock.monotonic() - since, self.journal.memory.at_least(command.sent))
        return at_rest_for >= self.profile.timers.accepted_to_brewing

    def _waited_out(self, command: Command) -> bool:
        elapsed = self.journal.memory.at_least(command.sent)
        return self.live_state.view.machine is MachineState.READY and elapsed >= self.profile.max_brew(command.drink_no)
