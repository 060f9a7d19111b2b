"""Which world is being told: how what stands in for threads, sockets and the clock finds it. One at a time."""

from typing import TYPE_CHECKING

from cloud.orders.order_limits import OrderLimits

if TYPE_CHECKING:
    from tests.simulation.world import World

_present: "list[World]" = []


def here() -> "World":
    """The present world."""
    return _present[-1]


def rules_here() -> OrderLimits:
    """The present world's; outside of all worlds, as nobody set them."""
    return here().rules if _present else OrderLimits()


def enter(world: "World") -> None:
    _present.append(world)


def leave() -> None:
    _present.pop()
