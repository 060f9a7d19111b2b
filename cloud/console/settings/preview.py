"""The buyer's page as it would be with another note: the very templates buyers get, of an order that never was."""

from dataclasses import replace
from datetime import datetime, timedelta

from flask import Response, make_response, render_template

from cloud.buyer.errors import Trouble, render_trouble
from cloud.buyer.headers import content_policy
from cloud.buyer.order_reader import view_device
from cloud.buyer.order_view import DeviceView, OrderView
from cloud.buyer.template_context import template_context
from cloud.fleet.models import Device
from cloud.fleet.notes import clean
from cloud.orders.states import FAILURES, SENT, Status

ERROR = "client_error_info"
EXAMPLE_PRICE = 17900


def page(device: Device, contact: str, field: str, note: str, public_url: str, now: datetime) -> Response:
    """The page at which buyers read this note, or without one its merchant's address."""
    view = view_device(device, contact)
    view = replace(view, notes={**view.notes, field: clean(note)})
    if field == ERROR:
        response = render_trouble(Trouble(404, "", view))
    else:
        response = make_response(
            render_template("buyer/order.html", **template_context(_order(field, view, now, device), now))
        )
    response.status_code = 200
    policy = content_policy(public_url).replace("frame-ancestors 'none'", "frame-ancestors 'self'")
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _order(field: str, view: DeviceView, now: datetime, device: Device) -> OrderView:
    name = field.removeprefix("client_info").removeprefix("_")
    status = Status(name) if name else Status.CREATED
    is_paid = status not in {Status.CREATED, Status.PENDING, Status.NOT_PAID}
    return OrderView(
        order_id="20261128-0001", version=1, status=status, stage=SENT if status is Status.MAKE_PENDING else "",
        progress=0, reason="no_ack" if status is Status.MAKE_FAILED else "", uncertain=False, drink_no="latte",
        drink_name="Латте", size=1, price=EXAMPLE_PRICE, expires_at=now + timedelta(minutes=15),
        due_at=now + timedelta(minutes=20), return_after=None, accepted_at=None,
        payment_scenario=device.payment_scenario, was_begun=status is not Status.CREATED, was_paid=is_paid,
        was_commanded=status is Status.MAKE_PENDING, method="bank_card", is_hold=False, hold_is_gone=False,
        cancel_reason="", money_back=None, device=view, contact=view.contact if status in FAILURES else "",
    )  # fmt: skip
