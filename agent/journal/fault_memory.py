"""What the journal knows of the machine's faults: enough, after a restart, to close no less than the machine closes.

A status names faults without their reach, so a reach is written before it is acknowledged, and only where the journal
would know of a narrower one, or of an earlier boot's. What has gone is struck out later: a bouncing contact must not
wear the card.
"""

from collections.abc import Mapping

from agent.clock import Clock
from agent.journal.sales_block import SalesBlock
from agent.rate_limit import Pace
from protocol.messages import MAX_FAULTS, Fault
from protocol.reasons import FaultLevel

BURST, CALM_S = 10, 30.0
"""Of reaches written at once: a machine can invent faults without end."""
LATER_S = 60.0


class FaultMemory:
    """One thread's."""

    def __init__(self, sales_block: SalesBlock, clock: Clock) -> None:
        self._sales_block = sales_block
        self._clock = clock
        self._written = sales_block.faults()
        self._written_boot = sales_block.faults_boot
        self._told: Mapping[str, Fault] = self._written
        self._told_boot = self._written_boot
        self._pace = Pace(BURST, CALM_S)
        self._written_at = float("-inf")

    @property
    def faults(self) -> dict[str, Fault]:
        """As they were last written."""
        return dict(self._written)

    @property
    def boot_id(self) -> str:
        """The boot of the machine that told them, as it was last written."""
        return self._written_boot

    def keep(self, faults: Mapping[str, Fault], boot_id: str) -> bool:
        """False: not written yet, so it must not be acknowledged. Raises `JournalFailed`."""
        self._told, self._told_boot = dict(faults), boot_id
        missing = {code: one for code, one in faults.items() if not _covers(self._written.get(code), one)}
        if not missing and not self._is_new_boot:  # what an earlier boot has told would not outlive a restart
            return True
        if not self._pace.allows(self._clock.monotonic()):
            return False
        gone = [code for code in self._written if code not in faults]
        spared = gone[: max(0, MAX_FAULTS - len(faults))]
        self._write({**{code: self._written[code] for code in spared}, **faults})
        return True

    def write_if_due(self) -> None:
        """What was not urgent. Raises `JournalFailed`."""
        is_news = self._is_new_boot or self._told != self._written
        if is_news and self._clock.monotonic() - self._written_at >= LATER_S:
            self._write(dict(self._told))

    @property
    def _is_new_boot(self) -> bool:
        return bool(self._told) and self._told_boot != self._written_boot

    def _write(self, faults: dict[str, Fault]) -> None:
        self._sales_block.keep_faults(faults, self._told_boot)
        self._written, self._written_boot = faults, self._told_boot
        self._written_at = self._clock.monotonic()


def _covers(known: Fault | None, fault: Fault) -> bool:
    """Does the first alone close all that the second closes?"""
    if fault.level != FaultLevel.BLOCK:
        return True
    if known is None or known.level != FaultLevel.BLOCK:
        return False
    return not known.drinks or (bool(fault.drinks) and set(fault.drinks) <= set(known.drinks))
