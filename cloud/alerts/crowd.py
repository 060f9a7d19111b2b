"""Many machines of one merchant gone at once are one trouble: with the uplink, the power or the house. Pure."""

import math
from collections.abc import Collection, Sequence
from datetime import timedelta

from cloud.alerts.incident import Condition, Incident
from cloud.alerts.kinds import Kind

TOGETHER = timedelta(minutes=2)
LEAST = 3
SHARE = 0.2
"""A crowd is at least `LEAST` machines, and at least this share of the merchant's."""


def crowd(
    merchant_id: str, offline: Sequence[Condition], machines: int, known: Collection[str], spoken_of: Collection[str]
) -> Condition | None:
    """The one condition that stands for many, None when there is no crowd.

    `machines` is how many the merchant has, `known` the machines of the crowd that is an incident already, and
    `spoken_of` those whose own incident is open: they are told about by themselves.
    """
    new = _went_together([each for each in offline if each.subject not in spoken_of], known)
    is_known = any(each.subject in known for each in offline)
    if not is_known and len(new) < max(LEAST, math.ceil(SHARE * machines)):
        return None
    members = [each for each in offline if each.subject in known] if is_known else new
    joined = [each for each in new if is_known and each.subject not in known and _is_near(each, members)]
    members = sorted({each.subject: each for each in [*members, *joined]}.values(), key=lambda each: each.subject)
    return Condition(
        Kind.MANY_OFFLINE, merchant_id, "", min(each.since for each in members),
        {"machines": [each.subject for each in members], "of": machines},
    )  # fmt: skip


def members_of(held: Incident | None) -> Collection[str]:
    """Return the machines of a present crowd; one that is over comes back by the same rule as it began."""
    return held.facts["machines"] if held is not None and (held.present or held.is_live) else ()


def _went_together(offline: Sequence[Condition], known: Collection[str]) -> list[Condition]:
    """The largest number of them that went within `TOGETHER`."""
    by_time = sorted((each for each in offline if each.subject not in known), key=lambda each: each.since)
    best: list[Condition] = []
    for first, one in enumerate(by_time):
        together = [each for each in by_time[first:] if each.since - one.since <= TOGETHER]
        best = max(best, together, key=len)
    return best


def _is_near(one: Condition, members: Sequence[Condition]) -> bool:
    return any(abs(one.since - each.since) <= TOGETHER for each in members)
