"""From the webhook's first byte to the make frame's first byte, order by order, and where the time went."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.answering import FleetTimes
from bench.figures import Spread, spread
from bench.orders import Prepared, order_id
from bench.provider import ProviderTimes
from bench.stage import Stage
from bench.webhooks import Notifier, Posted

CONNECTIONS = 8
SETTLE_S = 15.0
"""How long the last orders may take to end after the last webhook."""


@dataclass(frozen=True)
class Latency:
    """Of one rate. Every figure but `provider` and `webhook` has the provider's own answer time taken out."""

    orders_a_second: float
    chain: Spread | None
    """Webhook to first byte, for orders poured by a real agent."""
    cloud: Spread | None
    """Webhook to the command at the broker's subscriber, for all orders."""
    webhook: Spread | None
    """Until the webhook was answered; the chain does not wait for it."""
    provider: Spread | None
    segments: Mapping[str, Spread | None]
    missing: int
    """Orders whose command never came."""
    repeated: int


@dataclass(frozen=True)
class _Seen:
    """All that was noted while the orders went by."""

    posted: Posted
    provider: ProviderTimes
    fleet: FleetTimes
    first_byte: dict[str, float]
    journal: dict[str, dict[str, float]]


def measure(stage: Stage, plan: Sequence[Prepared], a_second: float) -> Latency:
    """Post these orders' webhooks at this rate and see what becomes of them."""
    for part in (stage.provider, stage.fleet, stage.machines):
        part.take()
    notifier = Notifier(stage.cloud_url, stage.capture, CONNECTIONS)
    notifier.at_rate(plan, a_second)
    posted = notifier.finish()
    poured = [order_id(order.number) for order in plan if order.device_uuid in stage.agents]
    first_byte: dict[str, float] = {}
    fleet = FleetTimes()
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until and (len(first_byte) < len(poured) or len(fleet.commanded) < len(plan)):
        first_byte |= stage.machines.take()
        taken = stage.fleet.take()
        fleet.commanded |= taken.commanded
        fleet.repeated += taken.repeated
        time.sleep(0.1)
    return _judge(plan, a_second, _Seen(posted, stage.provider.take(), fleet, first_byte, stage.journal_times()))


def _judge(plan: Sequence[Prepared], a_second: float, seen: _Seen) -> Latency:
    numbers = {order.number for order in plan} & seen.posted.begun.keys() & seen.provider.answered.keys()
    provider = {n: seen.provider.answered[n] - seen.provider.asked[n] for n in numbers}
    commanded = {n: seen.fleet.commanded[order_id(n)] for n in numbers if order_id(n) in seen.fleet.commanded}
    poured = {n: seen.first_byte[order_id(n)] for n in numbers if order_id(n) in seen.first_byte}
    begun = seen.posted.begun
    return Latency(
        orders_a_second=a_second,
        chain=spread(at - begun[n] - provider[n] for n, at in poured.items()),
        cloud=spread(at - begun[n] - provider[n] for n, at in commanded.items()),
        webhook=spread(seen.posted.answered[n] - begun[n] for n in numbers),
        provider=spread(provider.values()),
        segments=_segments(seen, commanded, poured),
        missing=len(plan) - len(commanded),
        repeated=seen.fleet.repeated,
    )


def _segments(seen: _Seen, commanded: dict[int, float], poured: dict[int, float]) -> dict[str, Spread | None]:
    """The chain of the poured orders cut at every place that notes a time."""
    begun, asked, answered = seen.posted.begun, seen.provider.asked, seen.provider.answered
    steps = {n: seen.journal.get(order_id(n), {}) for n in poured}
    whole = [n for n in poured if n in commanded and {"received", "intent", "sent"} <= steps[n].keys()]
    return {
        "webhook posted to provider asked": spread(asked[n] - begun[n] for n in whole),
        "provider's answer to command out": spread(commanded[n] - answered[n] for n in whole),
        "command out to agent's journal": spread(steps[n]["received"] - commanded[n] for n in whole),
        "journal to intent": spread(steps[n]["intent"] - steps[n]["received"] for n in whole),
        "intent to sent": spread(steps[n]["sent"] - steps[n]["intent"] for n in whole),
        "sent to first byte": spread(poured[n] - steps[n]["sent"] for n in whole),
    }
