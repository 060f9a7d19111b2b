"""The control API under /sim, for tests and demos: the cups, the machines' switches, prices, faults, the clock.

No part of the Tmetr API. Bodies are JSON (so no web page can post a form here); errors are `{"error": "..."}`.
"""

from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from protocol import json_text
from simulator.tmetr.api import Api
from simulator.tmetr.faults import Fault, FaultBoard
from simulator.tmetr.machines import MachineHall, UnknownThing
from simulator.yookassa.clock import AdvancingClock


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    """What is null stays as it is."""

    online: bool | None = None
    deaf: bool | None = None


class PriceTag(msgspec.Struct, forbid_unknown_fields=True):
    """`size` SMALL, MEDIUM or BIG; `price` in kopecks, null is not sold."""

    drink: str
    size: str
    price: int | None


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds, forward only."""

    advance: float


Body = TypeVar("Body", bound=msgspec.Struct)


class Control:
    """Everything it does goes through the same machines the API serves."""

    def __init__(self, hall: MachineHall, api: Api, faults: FaultBoard, clock: AdvancingClock) -> None:
        self._hall, self._api, self._faults, self._clock = hall, api, faults, clock

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("control", __name__, url_prefix="/sim")
        for method, rule, view in (
            ("GET", "/cups", self.cups),
            ("GET", "/calls", self.calls),
            ("GET", "/machines", self.machines),
            ("PUT", "/machines/<device_id>", self.switch),
            ("PUT", "/machines/<device_id>/price", self.price),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/clock", self.clock),
            ("POST", "/clock", self.advance),
        ):
            blueprint.add_url_rule(rule, f"{method} {rule}".lower(), view, methods=[method])
        blueprint.register_error_handler(UnknownThing, _unknown)
        blueprint.register_error_handler(ValueError, _wrong)
        blueprint.register_error_handler(HTTPException, _http_error)
        return blueprint

    def cups(self) -> Response:
        """Every cup really filled, oldest first; `?order=` of one order."""
        return _json({"cups": self._hall.cups(request.args.get("order", ""))})

    def calls(self) -> Response:
        return _json({"calls": self._api.calls()})

    def machines(self) -> Response:
        return _json({"machines": self._hall.all()})

    def switch(self, device_id: str) -> Response:
        wanted = _body(Switches)
        return _json(self._hall.switch(device_id, wanted.online, wanted.deaf))

    def price(self, device_id: str) -> Response:
        wanted = _body(PriceTag)
        self._hall.set_price(device_id, wanted.drink, wanted.size, wanted.price)
        return _json(self._hall.machine(device_id))

    def faults(self) -> Response:
        return _json({"faults": self._faults.standing()})

    def add_fault(self) -> Response:
        self._faults.add(_body(Fault))
        return self.faults()

    def clear_faults(self) -> Response:
        self._faults.clear()
        return self.faults()

    def clock(self) -> Response:
        return _json({"now": self._clock()})

    def advance(self) -> Response:
        return _json({"now": self._clock.advance(_body(Advance).advance)})


def _body(kind: type[Body]) -> Body:
    raw = request.get_data()
    if raw and request.mimetype != "application/json":
        raise ValueError("the body is JSON, with Content-Type: application/json")
    return json_text.decode(raw or b"{}", kind)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def _unknown(error: UnknownThing) -> Response:
    return _json({"error": f"no such {error}"}, 404)


def _wrong(error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _http_error(error: HTTPException) -> Response:
    return _json({"error": error.description or error.name}, error.code or 500)
