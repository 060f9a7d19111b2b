"""What every view of the buyer's works with: the database, the clock, the limits. One for each application."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.capability import COOKIE, KEPT_FOR, Capability, Scanned, Seal, may_speak, why_no_pour
from cloud.buyer.errors import Trouble, wants_json
from cloud.buyer.forecast import with_forecast
from cloud.buyer.limits import RateLimit, Seats, region_of
from cloud.buyer.order_reader import OrderReader
from cloud.buyer.order_view import OrderView
from cloud.buyer.qr import can_be_id
from cloud.buyer.readiness import Asking
from cloud.buyer.reservation import Presser
from cloud.buyer.versions import Versions
from cloud.database.database import Database
from cloud.fleet.models import Device
from cloud.fleet.qr_key import QrKeys
from cloud.http.addresses import home_of, network_of
from cloud.orders.forgetting import ForgottenOrder
from cloud.orders.models import Order
from cloud.orders.order_ids import SIGNED
from cloud.orders.order_limits import OrderLimits

NEW_ORDERS_BURST = 30
NEW_ORDERS_PER_S = 0.5
"""An office behind one address buys fewer coffees than this; whoever invents orders is soon stopped."""
NETWORK_BURST = 120
NETWORK_PER_S = 2.0
"""New orders of an IPv6 /48: whoever has one has 65 536 addresses that each count as one."""
DEVICE_BURST = 60
DEVICE_PER_S = 0.2
"""New orders of one machine from one part of the net: it pours in a minute what is scanned in seconds."""
FLOOD_BURST = 600
FLOOD_PER_S = 2.0
"""New orders of one machine from everywhere, without its signature: what a flood from many networks may cost us."""
ACTS_BURST = 20
ACTS_PER_S = 0.2
"""Presses of "pay" and "pour" on one order by one buyer: a page that tries again by itself needs six."""
LOOKS_BURST = 600
LOOKS_PER_S = 100.0
"""Pages and questions of one address: a hundred phones behind it that poll, each once a second."""
STREAMS = 500
"""Open streams of one process; each holds a thread of about 30 KiB. Must stay below the server's threads."""
STREAMS_PER_ADDRESS = 20


@dataclass(frozen=True)
class Services:
    """Shared by all views; safe from any thread."""

    database: Database
    rules: OrderLimits
    clock: Callable[[], datetime]
    public_url: str
    new_id: Callable[[], str]
    """Ids of orders made from a menu."""
    visitor_of: Callable[[str, str | None], str] = lambda address, _forwarded_for: address
    """The caller's address, by the connection's address and what proxies say; empty when it cannot be told, and then
    limits for one address do not apply.
    """
    brew_times: BrewTimeEstimates = field(default_factory=BrewTimeEstimates)
    new_orders: RateLimit = field(default_factory=lambda: RateLimit(NEW_ORDERS_BURST, NEW_ORDERS_PER_S))
    of_network: RateLimit = field(default_factory=lambda: RateLimit(NETWORK_BURST, NETWORK_PER_S))
    of_device: RateLimit = field(default_factory=lambda: RateLimit(DEVICE_BURST, DEVICE_PER_S))
    of_flood: RateLimit = field(default_factory=lambda: RateLimit(FLOOD_BURST, FLOOD_PER_S))
    acts: RateLimit = field(default_factory=lambda: RateLimit(ACTS_BURST, ACTS_PER_S))
    looks: RateLimit = field(default_factory=lambda: RateLimit(LOOKS_BURST, LOOKS_PER_S))
    tmetr_price: Callable[[str, str, int], int | None] = lambda *_: None
    """Kopecks of a drink by machine, drink and size where somebody else than our catalogue names prices."""
    seal: Seal = field(default_factory=lambda: Seal(secrets.token_hex(32)))
    """Writes the cookies of phones that scan; without a key from outside they last as long as this process."""
    qr_keys: QrKeys | None = None
    """Without them no machine that must sign its codes sells anything."""
    asks_machines: bool = False
    """Before paying, machines are asked; else their last word counts. Needs a worker that carries the questions."""
    carrier_seen: Callable[[Device], datetime | None] | None = None
    """When a carrier of commands to this machine was last seen; without it a carrier is taken to be always there."""
    streams: Seats = field(default_factory=lambda: Seats(STREAMS, STREAMS_PER_ADDRESS))

    @cached_property
    def _orders(self) -> OrderReader:
        return OrderReader(self.database)

    @cached_property
    def asking(self) -> Asking:
        """Whether a machine could make a drink now."""
        return Asking(
            self.database, self.clock, self.brew_times, is_live=self.asks_machines, carrier_seen=self.carrier_seen
        )

    @cached_property
    def versions(self) -> Versions:
        """Which version orders are at, asked for all streams together."""
        return Versions(self.database)

    def visitor(self) -> str:
        """Return the caller's address."""
        return self.visitor_of(request.remote_addr or "", request.headers.get("X-Forwarded-For"))

    def allows_order(self, device_uuid: str, *, is_signed: bool = False) -> bool:
        """Tell whether the caller may make another new order at this machine; the machine's own word always may.

        A part of the net uses up its own share of a machine, so that a flood from elsewhere leaves its buyers theirs.
        """
        now, visitor = self.clock(), self.visitor()
        if not self.new_orders.allows(visitor, now) or not self.of_network.allows(network_of(visitor), now):
            return False
        share = f"{device_uuid} {region_of(visitor)}"
        return is_signed or (
            self.of_device.allows(_key_of(share), now) and self.of_flood.allows(_key_of(device_uuid), now)
        )

    def allows_act(self, order_id: str) -> bool:
        """Tell whether the caller may press a button of this order once more."""
        return self.acts.allows(self._presser(order_id), self.clock())

    def _presser(self, order_id: str) -> str:
        """Return what presses are counted by: the scan, for a phone that scanned this order; else the address."""
        scanned = self.held().of_order(order_id)
        who = home_of(self.visitor()) if scanned is None else f"scanned {scanned.at.timestamp()}"
        return _key_of(f"{who} {order_id}")

    def held(self) -> Capability:
        """What the phone that asks now has scanned."""
        return self.seal.read(request.cookies.get(COOKIE, ""))

    def proof(self, order: Order) -> Scanned | None:
        """Return the proof that the phone that asks now scanned this very order; None for any other phone.

        Of an order that its machine has signed for only a signed code proves it.
        """
        scanned = self.held().of_order(order.id)
        return None if scanned is None or (order.opened_by == SIGNED and not scanned.is_signed) else scanned

    def why_no_pour(self, order: Order, held: Capability | None = None) -> str:
        """Why the phone that asks now may not have this order poured, as an error's code; "" when it may.

        `held` where it is given more than it has shown.
        """
        presence = (held or self.held()).presence(order.device_uuid, self.clock())
        return why_no_pour(self.proof(order), presence, order.opened_by, order.paid_at)

    def may_speak(self, order: Order) -> bool:
        """Whether the phone that asks now may read and write what is said of this order."""
        return may_speak(self.proof(order), order.opened_by, order.paid_at)

    def remember(self, response: BaseResponse, held: Capability) -> BaseResponse:
        """Give the capability to the phone that is answered."""
        response.set_cookie(
            COOKIE, self.seal.write(held), max_age=KEPT_FOR, httponly=True, samesite="Lax",
            secure=self.public_url.startswith("https:"),
        )  # fmt: skip
        return response

    def origin(self) -> str:
        """Return the caller's origin, as short text that names no address; "" when nobody can tell."""
        visitor = self.visitor()
        return _key_of(home_of(visitor)) if visitor else ""

    def presser(self, device_uuid: str) -> Presser:
        """Return the caller as one who would pay at this machine."""
        presence = self.held().presence(device_uuid, self.clock())
        return Presser(self.origin(), presence, lambda order: self.proof(order) is not None)

    def give_back_act(self, order_id: str) -> None:
        """The button was pressed, and we could not do what it is for."""
        self.acts.give_back(self._presser(order_id))

    def find(self, order_id: str) -> OrderView | None:
        """The order as it is now."""
        if not can_be_id("uuid", order_id):
            return None
        return self._orders.find(order_id)

    def order(self, order_id: str) -> OrderView:
        """The order as it is now. Raises `Trouble` 404."""
        view = self.find(order_id)
        if view is not None:
            return view
        if self.is_forgotten(order_id) and not wants_json():
            raise Trouble(410, "expired")
        raise Trouble(404, "unknown_order")

    def with_forecast(self, view: OrderView) -> OrderView:
        """The same order with what a page says of how long it takes."""
        return with_forecast(self.database, view, self.brew_times, self.clock())

    def is_forgotten(self, order_id: str) -> bool:
        """Whether it expired long ago, never paid."""
        with self.database.read() as session:
            return can_be_id("uuid", order_id) and session.get(ForgottenOrder, order_id) is not None


def _key_of(name: str) -> str:
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()
