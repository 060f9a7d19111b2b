"""The three public calls: price of a drink, make, recent heartbeats. Strict in what it takes.

A make answered 200 is accepted for forwarding, no more; nothing here ever tells an outcome.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta

from protocol import json_text
from simulator.shell.faults import FaultBoard
from simulator.shell.service import break_connection
from simulator.tmetr.faults import Endpoint, Fault, FaultKind
from simulator.tmetr.machines import SIZES, MachineHall, UnknownThing

JSON = "application/json"
MAX_LOG = 1000
"""Calls remembered for tests; older ones are forgotten."""

Text = Annotated[str, Meta(min_length=1, max_length=255)]
Zone = Annotated[int, Meta(ge=-12, le=14)]
T = TypeVar("T")


class MakeBody(msgspec.Struct, forbid_unknown_fields=True):
    """One element of the array."""

    deviceId: Text  # noqa: N815  # the API's own names
    orderUuid: Text  # noqa: N815
    drinkUuid: Text  # noqa: N815
    size: Text
    price: Annotated[int, Meta(gt=0)]


class DrinkBody(msgspec.Struct, forbid_unknown_fields=True):
    """The drink whose price is asked for."""

    deviceId: Text  # noqa: N815
    drinkIdAtDevice: Text  # noqa: N815
    drinkSize: Text  # noqa: N815


class HeartbeatBody(msgspec.Struct, forbid_unknown_fields=True):
    """The devices whose heartbeats are asked for, and which part of the list; newest first."""

    deviceIds: Annotated[list[Text], Meta(max_length=1000)]  # noqa: N815
    offset: Annotated[int, Meta(ge=0)]
    limit: Annotated[int, Meta(ge=1, le=1000)]


class Problem(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words


class Api:
    """The views, and what was asked of them."""

    def __init__(self, token: str, hall: MachineHall, faults: FaultBoard[Fault]) -> None:
        self._token = token
        self._hall = hall
        self._faults = faults
        self._lock = threading.Lock()
        self._calls: list[dict[str, object]] = []

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("tmetr", __name__)
        for path, endpoint, act in (
            ("/api/commander/v1/command/make", Endpoint.MAKE, self._make),
            ("/api/ui/v1/static/drink", Endpoint.DRINK, self._drink),
            ("/api/ui/v1/stat/heartbeat/recent", Endpoint.HEARTBEAT, self._heartbeat),
        ):
            view = self._view(endpoint, act)
            blueprint.add_url_rule(path, endpoint.value, view, methods=["POST"])
        return blueprint

    def calls(self) -> list[dict[str, object]]:
        """What was asked, oldest first: endpoint, body, and the status answered (None: not yet)."""
        with self._lock:
            return list(self._calls)

    def _view(self, endpoint: Endpoint, act: Callable[[], object]) -> Callable[[], Response]:
        def view() -> Response:
            call = self._note(endpoint)
            fault = self._faults.strike(endpoint)
            try:
                answer = self._serve(fault, act)
            except Problem as problem:
                answer = _error(problem)
            call["status"] = answer.status_code
            return answer

        return view

    def _serve(self, fault: Fault | None, act: Callable[[], object]) -> Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise Problem(401, "UNAUTHORIZED", "no such token")
        if fault is None:
            return _json(act())
        if not fault.after_act:
            early = self._broken(fault)
            if early is not None:
                return early
        told = act()
        if fault.kind is FaultKind.NO_PRICE:
            return _json({"name": "", "price": None})
        if fault.kind is FaultKind.NONSENSE:
            return _json({"result": [True]})
        return (self._broken(fault) if fault.after_act else None) or _json(told)

    def _broken(self, fault: Fault) -> Response | None:
        match fault.kind:
            case FaultKind.REFUSE:
                raise Problem(400, "DEVICE_NOT_AVAILABLE", "the device cannot take commands")
            case FaultKind.UNAUTHORIZED:
                raise Problem(401, "UNAUTHORIZED", "the token has expired")
            case FaultKind.TOO_MANY_REQUESTS:
                raise Problem(429, "TOO_MANY_REQUESTS", "slow down")
            case FaultKind.ERROR_500:
                raise Problem(500, "INTERNAL", "something broke")
            case FaultKind.HTML_502:
                return Response("<html><h1>502 Bad Gateway</h1></html>", 502, content_type="text/html")
            case FaultKind.HANG:
                self._faults.hang(fault.seconds)
            case FaultKind.RESET:
                break_connection()
                return Response(status=500)
            case FaultKind.NO_PRICE | FaultKind.NONSENSE:
                pass
        return None

    def _make(self) -> object:
        wanted = _body(list[MakeBody])
        if not wanted:
            raise Problem(400, "VALIDATION", "no command")
        for one in wanted:
            if one.size not in {size.lower() for size in SIZES}:
                raise Problem(400, "VALIDATION", "size is small, medium or big")
            self._known(lambda one=one: self._hall.price(one.deviceId, one.drinkUuid, one.size.upper()))  # type: ignore[misc]  # a default binds the loop's one
        for one in wanted:
            self._hall.pour(one.deviceId, one.orderUuid, one.drinkUuid, one.size.upper(), one.price)
        return {}

    def _drink(self) -> object:
        wanted = _body(DrinkBody)
        price = self._known(lambda: self._hall.price(wanted.deviceId, wanted.drinkIdAtDevice, wanted.drinkSize))
        return {"name": wanted.drinkIdAtDevice, "price": price}

    def _heartbeat(self) -> object:
        """Each moment is shifted by the zone that the caller names in hours: the quirk of this call."""
        wanted = _body(HeartbeatBody)
        try:
            zone = msgspec.convert(request.headers.get("X-TimeZoneOffset", ""), Zone, strict=False)
        except msgspec.ValidationError:
            raise Problem(400, "VALIDATION", "X-TimeZoneOffset is missing or no hours") from None
        known = {machine.device_id for machine in self._hall.all()} & set(wanted.deviceIds)
        beats = [(at, name) for name in known if (at := self._hall.last_beat(name)) is not None]
        beats.sort(reverse=True)
        content = [
            {"deviceId": name, "heartbeatCreatedAt": int(at.timestamp()) + zone * 3600}
            for at, name in beats[wanted.offset : wanted.offset + wanted.limit]
        ]
        return {"content": content, "totalElements": len(beats), "offset": wanted.offset, "limit": wanted.limit}

    def _known(self, look: Callable[[], int]) -> int:
        try:
            return look()
        except UnknownThing as unknown:
            raise Problem(404, "NOT_FOUND", f"no such {unknown}") from None

    def _note(self, endpoint: Endpoint) -> dict[str, object]:
        call: dict[str, object] = {"endpoint": endpoint.value, "body": request.get_data(as_text=True), "status": None}
        with self._lock:
            self._calls.append(call)
            del self._calls[:-MAX_LOG]
        return call


def _body(kind: type[T]) -> T:
    if request.mimetype != JSON:
        raise Problem(415, "VALIDATION", "the body is JSON")
    try:
        return json_text.decode(request.get_data(), kind)
    except json_text.NotJson as error:
        raise Problem(400, "VALIDATION", str(error)) from None


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type=JSON)


def _error(problem: Problem) -> Response:
    body = {"errorCode": problem.code, "errorId": str(uuid.uuid4()), "errorMessage": problem.words}
    return _json(body, problem.status)
