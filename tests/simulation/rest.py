"""When is a world at rest? Nobody works, nothing waits, nothing is on its way."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

UNDER_WAY = "('pending', 'paid', 'make_pending', 'manual_make')"
_NOT_AT_REST = {
    "an order": "SELECT count(*) FROM orders WHERE due_at IS NOT NULL OR return_after IS NOT NULL "
    f"OR waits_for_person OR status IN {UNDER_WAY}",
    "a promise to the provider": "SELECT count(*) FROM outbox WHERE settled_at IS NULL AND lane = 'provider'",
    "a payment": "SELECT count(*) FROM payments WHERE next_check_at IS NOT NULL",
    "a notification": "SELECT count(*) FROM provider_news WHERE handled_at IS NULL",
}


def what_is_under_way(world: "World") -> str:
    """Something that is not at its end yet; "" at rest."""
    for cloud in world.clouds:
        if not cloud.process.alive or not cloud.is_open or cloud.process.tasks:
            return f"{cloud.process} is at work"
    if world.keeper.is_at_work:
        return "an account is being changed"
    if world.provider.deliveries:
        return f"{world.provider.deliveries} notifications"
    if any(payment.refunding for payment in world.provider.payments()):
        return "a refund at the provider"
    unsettled = [one.name for one in world.buyers if not one.is_settled]
    unsettled += [one.name for one in world.agents if not one.is_settled]
    if unsettled:
        return f"{unsettled[0]} is not finished"
    for what, sql in _NOT_AT_REST.items():
        if world.disk.look.execute(sql).fetchone()[0]:
            return what
    return ""


def is_hot(world: "World") -> bool:
    """Some order is under way."""
    found = world.disk.look.execute(f"SELECT 1 FROM orders WHERE status IN {UNDER_WAY} OR uncertain LIMIT 1")
    return found.fetchone() is not None
