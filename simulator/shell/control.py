"""The control API under /sim, for tests and demos: its parts that every simulated service has.

No part of any real API. Bodies are JSON (so no web page can post a form here); errors are `{"error": "..."}`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from protocol import json_text
from simulator.shell.clock import Clock
from simulator.shell.faults import Fault, FaultBoard
from simulator.shell.webhooks import Mischief, WebhookQueue

Body = TypeVar("Body", bound=msgspec.Struct)
View = Callable[..., Response]
Route = tuple[str, str, View]
"""Method, path under /sim, view."""


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds, forward only."""

    advance: float


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Where notifications go. `shop` empty: all that have no address of their own. `url` null: nowhere."""

    url: str | None
    shop: str = ""

    def __post_init__(self) -> None:
        if self.url is not None:
            _check_address(self.url)


def control_api(routes: Iterable[Route], errors: Mapping[type[Exception], int]) -> Blueprint:
    """These views under /sim. `errors`: the status with which each kind of error is answered."""
    blueprint = Blueprint("control", __name__, url_prefix="/sim")
    for method, rule, view in routes:
        blueprint.add_url_rule(rule, f"{method} {rule}".lower(), view, methods=[method])
    for kind, status in ({ValueError: 400} | dict(errors)).items():
        blueprint.register_error_handler(kind, _refusing(status))
    blueprint.register_error_handler(HTTPException, _http_error)
    return blueprint


def body(kind: type[Body]) -> Body:
    """The request's body; ValueError, which is answered 400, when it is not of this kind."""
    raw = request.get_data()
    if raw and request.mimetype != "application/json":
        raise ValueError("the body is JSON, with Content-Type: application/json")
    return json_text.decode(raw or b"{}", kind)


def answer(said: object, status: int = 200) -> Response:
    """One JSON answer."""
    return Response(msgspec.json.encode(said), status, content_type="application/json")


def fault_routes(board: FaultBoard[Fault], kind: type[Fault]) -> list[Route]:
    """Look at the switches that are on, switch one on, switch all off and let go who hangs."""

    def look() -> Response:
        return answer({"faults": board.standing()})

    def add() -> Response:
        board.add(body(kind))
        return look()

    def clear() -> Response:
        board.clear()
        return look()

    return [("GET", "/faults", look), ("POST", "/faults", add), ("DELETE", "/faults", clear)]


def clock_routes(
    clock: Clock, advance: Callable[[float], datetime], shown: Callable[[datetime], object]
) -> list[Route]:
    """Look at the clock; jump forward: what fell due on the way has happened when this answers."""

    def look() -> Response:
        return answer({"now": shown(clock())})

    def jump() -> Response:
        return answer({"now": shown(advance(body(Advance).advance))})

    return [("GET", "/clock", look), ("POST", "/clock", jump)]


def behaviour_routes(owner: Any, kind: type[Body]) -> list[Route]:
    """Look at `owner.behaviour`, and replace it whole."""

    def look() -> Response:
        return answer(msgspec.structs.asdict(owner.behaviour))

    def replace() -> Response:
        owner.behaviour = body(kind)
        return look()

    return [("GET", "/behaviour", look), ("PUT", "/behaviour", replace)]


def webhook_routes(queue: WebhookQueue) -> list[Route]:
    """Look at the notifications, do mischief to them, aim them elsewhere."""

    def look() -> Response:
        told = {"mischief": queue.mischief, "waiting": queue.waiting(), "log": queue.log()}
        counted = ("accepted", "lost", "given_up", "overflowed")
        return answer(told | {name: getattr(queue.counts, name) for name in counted})

    def mischief() -> Response:
        queue.mischief = body(Mischief)
        return look()

    def aim() -> Response:
        target = body(Target)
        queue.aim(target.url, target.shop)
        return look()

    return [("GET", "/webhooks", look), ("PUT", "/webhooks", mischief), ("PUT", "/webhooks/target", aim)]


def _check_address(url: str) -> None:
    """Raise ValueError for what nobody can be reached under."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url or not url.isprintable():
        raise ValueError("url is an address like http://127.0.0.1:8080/path, or null")
    parts.hostname.encode("idna")  # a name that no resolver takes is a ValueError, a port that is none too
    if parts.port == 0:
        raise ValueError("nobody listens on port 0")


def _refusing(status: int) -> Callable[[Exception], Response]:
    return lambda error: answer({"error": str(error)}, status)


def _http_error(error: HTTPException) -> Response:
    return answer({"error": error.description or error.name}, error.code or 500)
