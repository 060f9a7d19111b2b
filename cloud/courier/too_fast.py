"""Machines that say more than any agent does: passed over beyond their allowance, counted, and named in the log.

A broker holds no publisher back. It takes a flood with QoS 1 as it comes, and of what does not fit the cloud's queue it
drops anybody's. So it is emptied as fast as we read, not as fast as we store. Agents repeat a report until its receipt.
"""

import logging
import math
from collections import OrderedDict

from cloud.courier.allowance import Allowances
from cloud.courier.message_counts import TOO_FAST
from cloud.metrics.counts import Counts

BURST, PER_S = 600, 20.0
"""An agent that was away for long has 500 events and some reports to tell; of a cup it says five messages or so. Each
worker counts for itself."""
TOLD_EVERY_S = 60.0
NAMED_AT_ONCE = 1_000
log = logging.getLogger("cloud.courier")


class TooFast:
    """For one listener; `queue` is what its messages are counted by."""

    def __init__(self, counts: Counts, queue: str) -> None:
        self._counts = counts
        self._queue = queue
        self._allowances = Allowances(BURST, PER_S)
        self._told: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Of each machine that was too fast: when that was told, and how many came since."""

    def is_over(self, device_uuid: str, now: float) -> bool:
        """Count one more message; true when it is beyond the allowance of this machine."""
        if self._allowances.take(device_uuid, now):
            return False
        self._counts.count(TOO_FAST, self._queue)
        self._tell(device_uuid, now)
        return True

    def _tell(self, device_uuid: str, now: float) -> None:
        told_at, untold = self._told.pop(device_uuid, (-math.inf, 0))
        untold += 1
        if not told_at <= now < told_at + TOLD_EVERY_S:  # the clock may have been set back
            log.error("a machine floods us, messages passed over: %d", untold, extra={"device": device_uuid})
            told_at, untold = now, 0
        self._told[device_uuid] = (told_at, untold)
        if len(self._told) > NAMED_AT_ONCE:
            self._told.popitem(last=False)
