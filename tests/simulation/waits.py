"""Is a wait cut short? What an order ends with by the clock, and money that goes back though nobody knows of the drink.

Counted in true seconds from the commit that began the wait, by the figures of the world's settings (docs/orders.md).
"""

from typing import TYPE_CHECKING

from tests.simulation.rest import UNDER_WAY

if TYPE_CHECKING:
    from tests.simulation.world import World

CLOCK_SLACK_S = 1.2
"""The broker counts whole seconds, and a welcome takes its way."""
_IN_DOUBT = "status = 'make_failed' AND (uncertain OR reason IN ('no_ack', 'no_outcome', 'unknown'))"
"""Nobody can say that nothing was poured. Any other end is certain, and its money goes back at once."""
CLOCKS_APART_S = 5.0
"""A command of a clock that is so far ahead is not sent: how old it is nobody knows (docs/promises.md, promise 2)."""
_COMMANDED = "FROM make_commands WHERE order_id = orders.id"
_BEGINS = {
    "order_expiration_s": "true",
    "manual_make_s": "status = 'manual_make'",
    "make_deadline_s": f"EXISTS (SELECT 1 {_COMMANDED})",
    "ack_timeout_s": f"EXISTS (SELECT 1 {_COMMANDED})",
    "make_timeout_s": f"EXISTS (SELECT 1 {_COMMANDED} AND accepted_at IS NOT NULL)",
    "uncertain_grace_s": _IN_DOUBT,
}
"""How long is waited, and where in the life of an order that begins."""
_ENDS = {
    "order_expiration_s": "status = 'failed' AND reason = 'expired'",
    "manual_make_s": f"status = 'make_failed' AND reason = 'expired' AND NOT EXISTS (SELECT 1 {_COMMANDED})",
    "make_deadline_s": "status = 'make_failed' AND reason = 'not_sent'",
    "ack_timeout_s": "status = 'make_failed' AND reason = 'no_ack'",
    "make_timeout_s": "status = 'make_failed' AND reason = 'no_outcome'",
}
"""What only the end of that wait can have brought; money that goes back is asked about when it does."""


def _each(conditions: dict[str, str]) -> str:
    return " UNION ALL ".join(f"SELECT '{wait}', id FROM orders WHERE {true}" for wait, true in conditions.items())


_BEGUN, _ENDED = _each(_BEGINS), _each(_ENDS)
_GOES_BACK = f"""
SELECT orders.id, status IN {UNDER_WAY} AS is_under_way, {_IN_DOUBT} AS is_in_doubt
FROM payments JOIN orders ON orders.id = order_id WHERE provider_payment_id = ? AND payments.id = (
    SELECT id FROM payments WHERE order_id = orders.id AND paid_at IS NOT NULL AND problem = ''
    ORDER BY paid_at, id LIMIT 1
) AND NOT EXISTS (SELECT 1 FROM order_changes WHERE order_id = orders.id AND event = 'return_decided')
"""
"""Only the money that pays the order waits, and only where no person has decided."""


class Waits:
    """When each wait began, by the commits it was seen in."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._begun: dict[tuple[str, str], float] = {}
        self._judged: set[tuple[str, str]] = set()

    def committed(self) -> None:
        """After each commit of the cloud."""
        look = self._world.disk.look
        for wait, order_id in look.execute(_BEGUN):
            self._begun.setdefault((wait, order_id), self._world.scheduler.now)
        for wait, order_id in look.execute(_ENDED):
            if (wait, order_id) not in self._judged:
                self._judged.add((wait, order_id))
                self._judge(wait, order_id, "it ends by the clock")

    def money_goes_back(self, payment_id: str) -> None:
        """We are about to ask the provider for that."""
        for order_id, is_under_way, is_in_doubt in self._world.disk.look.execute(_GOES_BACK, (payment_id,)):
            if is_under_way:
                self._world.promises.break_(3, "its money goes back while it is under way", order_id)
            elif is_in_doubt:
                self._judge("uncertain_grace_s", order_id, "its money goes back")

    def _judge(self, wait: str, order_id: str, what: str) -> None:
        if wait == "make_deadline_s" and self._clocks_disagree():
            return
        world, begun = self._world, self._begun[wait, order_id]
        waited, wanted = world.scheduler.now - begun, getattr(world.rules, wait)
        if begun > world.waits_disturbed_at and waited < wanted - CLOCK_SLACK_S - 2 * world.mix.cloud_skew:
            world.promises.break_(3, f"{what} after {waited:.1f} s, {wait} is {wanted:.0f}", order_id)

    def _clocks_disagree(self) -> bool:
        skews = [cloud.process.skew for cloud in self._world.clouds]
        return max(skews) - min(skews) > CLOCKS_APART_S
