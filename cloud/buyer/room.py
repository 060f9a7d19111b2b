"""What every view of the buyer's room works with: the database, the clock, the limits. One for each application."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from flask import request

from cloud.buyer.errors import Trouble
from cloud.buyer.limits import RateLimit, Seats, home_of, network_of
from cloud.buyer.presenting import OrderView, load_order
from cloud.buyer.qr import can_be_id
from cloud.buyer.readiness import Asking
from cloud.buyer.usual_times import UsualTimes
from cloud.buyer.versions import Versions
from cloud.db import Database
from cloud.fleet.models import Device
from cloud.fleet.qr_key import QrKeys
from cloud.orders.rules import Rules

NEW_ORDERS_BURST = 30
NEW_ORDERS_PER_S = 0.5
"""An office behind one address buys fewer coffees than this; whoever invents orders is soon stopped."""
NETWORK_BURST = 120
NETWORK_PER_S = 2.0
"""New orders of an IPv6 /48: whoever has one has 65 536 addresses that each count as one."""
DEVICE_BURST = 60
DEVICE_PER_S = 0.2
"""New orders of one machine, from anywhere: it pours in a minute what is scanned in seconds."""
ACTS_BURST = 20
ACTS_PER_S = 0.2
"""Presses of "pay" and "pour" on one order: a page that tries again by itself needs six."""
LOOKS_BURST = 600
LOOKS_PER_S = 100.0
"""Pages and questions of one address: a hundred phones behind it that poll, each once a second."""
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
    of_network: RateLimit = field(default_factory=lambda: RateLimit(NETWORK_BURST, NETWORK_PER_S))
    of_device: RateLimit = field(default_factory=lambda: RateLimit(DEVICE_BURST, DEVICE_PER_S))
    acts: RateLimit = field(default_factory=lambda: RateLimit(ACTS_BURST, ACTS_PER_S))
    looks: RateLimit = field(default_factory=lambda: RateLimit(LOOKS_BURST, LOOKS_PER_S))
    told_price: Callable[[str, str, int], int | None] = lambda *_: None
    """Kopecks of a drink by machine, drink and size where somebody else than our catalogue names prices."""
    qr_keys: QrKeys | None = None
    """Without them no machine that must sign its codes sells anything."""
    asks_machines: bool = False
    """Before paying, machines are asked; else their last word counts. Needs a worker that carries the questions."""
    carrier_seen: Callable[[Device], datetime | None] | None = None
    """When who could carry a command to this machine was last seen; without it somebody always could."""
    streams: Seats = field(default_factory=lambda: Seats(STREAMS, STREAMS_PER_ADDRESS))

    @cached_property
    def asking(self) -> Asking:
        """Whether a machine could make a drink now."""
        return Asking(
            self.database, self.clock, self.usual_times, is_live=self.asks_machines, carrier_seen=self.carrier_seen
        )

    @cached_property
    def versions(self) -> Versions:
        """Which version orders are at, asked for all streams together."""
        return Versions(self.database)

    def allows_order(self, device_uuid: str) -> bool:
        """Whether the one who asks now may make another new order at this machine."""
        now, visitor = self.clock(), self.visitor()
        is_allowed = self.new_orders.allows(visitor, now) and self.of_network.allows(network_of(visitor), now)
        return is_allowed and self.of_device.allows(device_uuid, now)

    def allows_act(self, order_id: str) -> bool:
        """Whether a button of this order may be pressed once more now."""
        return self.acts.allows(_key_of(order_id), self.clock())

    def origin(self) -> str:
        """Whence it is asked, as short text that names no address; "" when nobody can tell."""
        visitor = self.visitor()
        return _key_of(home_of(visitor)) if visitor else ""

    def give_back_act(self, order_id: str) -> None:
        """The button was pressed, and we could not do what it is for."""
        self.acts.give_back(_key_of(order_id))

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


def _key_of(name: str) -> str:
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()
