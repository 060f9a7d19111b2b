"""What every view of the buyer's room works with: the database, the clock, the limits. One for each application."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from flask import request

from cloud.buyer.errors import Trouble
from cloud.buyer.limits import RateLimit, Seats
from cloud.buyer.presenting import OrderView, load_order
from cloud.buyer.qr import can_be_id
from cloud.buyer.usual_times import UsualTimes
from cloud.db import Database
from cloud.orders.rules import Rules

NEW_ORDERS_BURST = 30
NEW_ORDERS_PER_S = 0.5
"""An office behind one address buys fewer coffees than this; whoever invents orders is soon stopped."""
STREAMS = 500
"""Open streams of one process; each holds a thread of about 30 KiB. Must stay below the server's threads."""
STREAMS_PER_ADDRESS = 20


@dataclass(frozen=True)
class Room:
    """Shared by all views; safe from any thread."""

    database: Database
    rules: Rules
    clock: Callable[[], datetime]
    public_url: str
    new_id: Callable[[], str]
    """Ids of orders made from a menu."""
    visitor: Callable[[], str] = lambda: request.remote_addr or ""
    """The address of who asks now; empty when it cannot be told, and then limits for one address do not apply."""
    usual_times: UsualTimes = field(default_factory=UsualTimes)
    new_orders: RateLimit = field(default_factory=lambda: RateLimit(NEW_ORDERS_BURST, NEW_ORDERS_PER_S))
    streams: Seats = field(default_factory=lambda: Seats(STREAMS, STREAMS_PER_ADDRESS))

    def find(self, order_id: str) -> OrderView | None:
        """The order as it is now."""
        if not can_be_id("uuid", order_id):
            return None
        with self.database.read() as session:
            return load_order(session, order_id, self.usual_times, self.clock())

    def order(self, order_id: str) -> OrderView:
        """The order as it is now. Raises `Trouble` 404."""
        view = self.find(order_id)
        if view is None:
            raise Trouble(404, "unknown_order")
        return view
