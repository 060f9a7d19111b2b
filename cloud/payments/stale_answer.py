"""How long an answer is doubted that does not know yet what a notification told of. Pure.

A provider may answer from a copy that lags behind its own notification. So a payment that was told of and is not paid
yet is asked about again at twice its age since then: after 2, 4, 8, 16, 32 and 64 seconds.
"""

from datetime import datetime, timedelta

MAX_URGENT = 12
"""How many questions one payment's notifications put before everything else, these repeats among them; what more of
them ask waits its turn. Nobody can make us ask without end by repeating one.
"""
DOUBTED_S = 60.0
"""An answer this long after the notification is believed."""
SOONEST_S = 2.0


def ask_again_at(told_at: datetime, times_told: int, now: datetime) -> datetime | None:
    """When to ask again about a payment last told of at `told_at`, as the answer just come knows of no money; or not.

    `times_told` counts the urgent questions so far.
    """
    age_s = (now - told_at).total_seconds()
    if times_told >= MAX_URGENT or age_s >= DOUBTED_S:
        return None
    return now + timedelta(seconds=max(SOONEST_S, age_s))
