"""The control API under /sim: the cups, the machines' switches, prices, faults, the clock."""

from datetime import datetime

import msgspec
from flask import Blueprint, Response, request

from simulator.shell.clock import AdvancingClock
from simulator.shell.control import Route, answer, body, clock_routes, control_api, fault_routes
from simulator.shell.faults import FaultBoard
from simulator.tmetr.api import Api
from simulator.tmetr.faults import Fault
from simulator.tmetr.machines import MachineHall, UnknownThing


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    """What is null stays as it is."""

    online: bool | None = None
    deaf: bool | None = None


class PriceTag(msgspec.Struct, forbid_unknown_fields=True):
    """`size` SMALL, MEDIUM or BIG; `price` in kopecks, null is not sold."""

    drink: str
    size: str
    price: int | None


class Control:
    """Everything it does goes through the same machines the API serves."""

    def __init__(self, hall: MachineHall, api: Api, faults: FaultBoard[Fault], clock: AdvancingClock) -> None:
        self._hall, self._api, self._faults, self._clock = hall, api, faults, clock

    def blueprint(self) -> Blueprint:
        routes: list[Route] = [
            ("GET", "/cups", self.cups),
            ("GET", "/calls", self.calls),
            ("GET", "/machines", self.machines),
            ("PUT", "/machines/<device_id>", self.switch),
            ("PUT", "/machines/<device_id>/price", self.price),
            *fault_routes(self._faults, Fault),
            *clock_routes(self._clock, self._clock.advance, datetime.isoformat),
        ]
        blueprint = control_api(routes, {})
        blueprint.register_error_handler(UnknownThing, lambda error: answer({"error": f"no such {error}"}, 404))
        return blueprint

    def cups(self) -> Response:
        """Every cup really filled, oldest first; `?order=` of one order."""
        return answer({"cups": self._hall.cups(request.args.get("order", ""))})

    def calls(self) -> Response:
        return answer({"calls": self._api.calls()})

    def machines(self) -> Response:
        return answer({"machines": self._hall.all()})

    def switch(self, device_id: str) -> Response:
        wanted = body(Switches)
        return answer(self._hall.switch(device_id, wanted.online, wanted.deaf))

    def price(self, device_id: str) -> Response:
        wanted = body(PriceTag)
        self._hall.set_price(device_id, wanted.drink, wanted.size, wanted.price)
        return answer(self._hall.machine(device_id))
