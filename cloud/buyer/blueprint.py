"""The buyer's addresses (contract.md section 2), each to its view."""

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from urllib.parse import quote

from flask import Blueprint, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from cloud.buyer.api import Api
from cloud.buyer.errors import Trouble, render_trouble
from cloud.buyer.headers import content_policy, protect
from cloud.buyer.limits import Seats
from cloud.buyer.menu import Menu
from cloud.buyer.pages import Pages
from cloud.buyer.room import STREAMS, STREAMS_PER_ADDRESS, Room
from cloud.buyer.stream import Events
from cloud.db import Database
from cloud.orders.rules import Rules


class OrderIdConverter(BaseConverter):
    """An order id in a path: made by machines, so any text, slashes included."""

    regex = ".+?"
    part_isolating = False

    def to_url(self, value: str) -> str:
        """Nothing of an id is an address's own."""
        return quote(value, safe="")


def create_blueprint(
    database: Database,
    rules: Rules,
    clock: Callable[[], datetime],
    public_url: str,
    *,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    streams: int = STREAMS,
    visitor: Callable[[], str] = lambda: request.remote_addr or "",
) -> Blueprint:
    """Everything the buyer sees.

    `new_id` names the orders made from a menu. `streams` is how many event streams this process may hold open at
    once; each holds one of the server's threads, so it must be well below their number. `visitor` tells who asks.
    """
    seats = Seats(streams, STREAMS_PER_ADDRESS)
    return blueprint_of(Room(database, rules, clock, public_url, new_id, visitor, streams=seats))


def blueprint_of(room: Room) -> Blueprint:
    """The blueprint over a room made elsewhere."""
    blueprint = Blueprint(
        "buyer", __name__, static_folder="static", static_url_path="/static/buyer", template_folder="templates"
    )
    blueprint.record_once(_teach_order_ids)
    blueprint.register_error_handler(Trouble, render_trouble)
    blueprint.after_request(partial(protect, policy=content_policy(room.public_url)))
    pages, menu, api, events = Pages(room), Menu(room), Api(room), Events(room)
    for path in ("/v1/pay", "/v1/yook-pay", "/v1/tbank-pay"):
        blueprint.add_url_rule(path, "pay", pages.pay, methods=["GET"])
    blueprint.add_url_rule("/v1/order-status-page", "status_page", pages.status_page)
    blueprint.add_url_rule("/m/<device_uuid>", "menu", menu.show)
    blueprint.add_url_rule("/m/<device_uuid>", "choose", menu.choose, methods=["POST"])
    for path, name, view, method in (
        ("/v1/order-status/<order_id:order_id>", "status", api.status, "GET"),
        ("/v1/orders/<order_id:order_id>/events", "events", events.stream, "GET"),
        ("/v1/orders/<order_id:order_id>/make", "make", api.make, "POST"),
    ):
        # An id may hold "//": merging its slashes would name another order.
        blueprint.add_url_rule(path, name, view, methods=[method], merge_slashes=False)
    return blueprint


def _teach_order_ids(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["order_id"] = OrderIdConverter
