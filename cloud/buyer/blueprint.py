"""The buyer's addresses (docs/http.md), each to its view."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Blueprint, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.api import Api
from cloud.buyer.capability import Seal
from cloud.buyer.checkout_guard import CheckoutGuard
from cloud.buyer.claim_page import ClaimPage
from cloud.buyer.errors import CLAIM_PATH, DEVICE_OF, POLICY, Trouble, render_trouble
from cloud.buyer.headers import content_policy, of_json, protect
from cloud.buyer.limits import Seats
from cloud.buyer.menu import Menu
from cloud.buyer.open_order import device_of
from cloud.buyer.pages import Pages
from cloud.buyer.services import STREAMS, STREAMS_PER_ADDRESS, Services
from cloud.buyer.status_endpoint import StatusEndpoint
from cloud.buyer.stream import Events
from cloud.database.database import Database
from cloud.fleet.models import Device
from cloud.fleet.qr_key import QrKeys
from cloud.orders.order_limits import OrderLimits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class OrderIdConverter(BaseConverter):
    """An order id in a path: made by machines, so any text, slashes included."""

    regex = ".+?"
    part_isolating = False

    def to_url(self, value: str) -> str:
        """Nothing of an id is an address's own."""
        return quote(value, safe="")


def create_services(
    database: Database,
    rules: OrderLimits,
    clock: Callable[[], datetime],
    public_url: str,
    *,
    streams: int = STREAMS,
    visitor_of: Callable[[str, str | None], str] = lambda address, _forwarded_for: address,
    qr_keys: QrKeys | None = None,
    asks_machines: bool = False,
    carrier_seen: Callable[[Device], datetime | None] | None = None,
    tmetr_price: Callable[[str, str, int], int | None] = lambda *_: None,
    seal: Seal,
) -> Services:
    """What all of the buyer's views share.

    `streams` is how many event streams this process may hold open at once; each holds one of the server's threads, so
    it must be well below their number. `visitor_of` names the caller.
    """
    seats = Seats(streams, STREAMS_PER_ADDRESS)
    return Services(
        database, rules, clock, public_url, lambda: str(uuid.uuid4()), visitor_of, qr_keys=qr_keys,
        asks_machines=asks_machines, carrier_seen=carrier_seen, streams=seats, tmetr_price=tmetr_price, seal=seal,
    )  # fmt: skip


def guard(checkout: Blueprint, services: Services) -> Blueprint:
    """Put the checkout guard before the checkout."""
    its_guard = CheckoutGuard(services)
    checkout.before_request(its_guard.admit)
    checkout.after_request(its_guard.give_back)
    return checkout


def status_endpoint(
    app: "WSGIApplication", services: Services, headers: Mapping[str, str] = MappingProxyType({})
) -> StatusEndpoint:
    """Wrap the application in the endpoint that answers questions about one order, with `headers` in every answer."""
    return StatusEndpoint(app, services, {**headers, **of_json(content_policy(services.public_url))})


def create_blueprint(services: Services) -> Blueprint:
    """Everything the buyer sees."""
    blueprint = Blueprint(
        "buyer", __name__, static_folder="static", static_url_path="/static/buyer", template_folder="templates"
    )
    blueprint.record_once(_teach_order_ids)
    policy = content_policy(services.public_url)
    for_errors = {DEVICE_OF: partial(device_of, services), POLICY: policy}
    blueprint.record_once(lambda state: state.app.extensions.update(for_errors))
    blueprint.register_error_handler(Trouble, render_trouble)
    blueprint.before_request(partial(_not_too_often, services))
    blueprint.after_request(partial(protect, policy=policy))
    pages, menu, api, events = Pages(services), Menu(services), Api(services), Events(services)
    for path in ("/v1/pay", "/v1/yook-pay", "/v1/tbank-pay"):
        blueprint.add_url_rule(path, "pay", pages.pay, methods=["GET"])
    blueprint.add_url_rule("/v1/order-status-page", "status_page", pages.status_page)
    claim = ClaimPage(services)
    blueprint.add_url_rule(CLAIM_PATH, "claim", claim.show, methods=["GET"])
    blueprint.add_url_rule(CLAIM_PATH, "claim_say", claim.say, methods=["POST"])
    blueprint.add_url_rule("/m/<device_uuid>", "menu", menu.show)
    blueprint.add_url_rule("/m/<device_uuid>/poster.<any(svg, pdf):kind>", "poster", menu.poster)
    blueprint.add_url_rule("/m/<device_uuid>", "choose", menu.choose, methods=["POST"])
    for path, name, view, method in (
        ("/v1/order-status/<order_id:order_id>", "status", api.status, "GET"),
        ("/v1/orders/<order_id:order_id>/events", "events", events.stream, "GET"),
        ("/v1/orders/<order_id:order_id>/make", "make", api.make, "POST"),
    ):
        # An id may hold "//": merging its slashes would name another order.
        blueprint.add_url_rule(path, name, view, methods=[method], merge_slashes=False)
    return blueprint


def _not_too_often(services: Services) -> BaseResponse | None:
    if request.endpoint == "buyer.static" or services.looks.allows(services.visitor(), services.clock()):
        return None
    return render_trouble(Trouble(429, "too_many"))


def _teach_order_ids(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["order_id"] = OrderIdConverter
