"""The simulated Tmetr as one object: its parts put together, started and stopped. Holds no rule of its own."""

import threading
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flask import Flask, jsonify
from flask.wrappers import Response
from werkzeug.exceptions import HTTPException

from simulator.tmetr.api import RESET_MARK, Api
from simulator.tmetr.control import Control
from simulator.tmetr.faults import Endpoint, Fault, FaultBoard, FaultKind
from simulator.tmetr.machines import Cup, Machine, MachineHall
from simulator.yookassa.clock import AdvancingClock, Clock, real_clock
from simulator.yookassa.wire import MAX_BODY, WireServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_TOKEN = "test_tmetr_token"  # noqa: S105  # opens nothing but this simulator


class TmetrSimulator:
    """A whole simulated Tmetr on 127.0.0.1; port 0 takes a free one, and OSError is raised here when it is taken."""

    def __init__(
        self,
        machines: Iterable[Machine],
        *,
        port: int = 0,
        token: str = DEFAULT_TOKEN,
        clock: Clock = real_clock,
    ) -> None:
        self.clock = AdvancingClock(clock)
        self.token = token
        self.hall = MachineHall(machines, self.clock)
        self.faults = FaultBoard()
        self._closing = threading.Event()
        self.api = Api(token, self.hall, self.faults, self._closing)
        control = Control(self.hall, self.api, self.faults, self.clock)
        self._server = WireServer("127.0.0.1", port, _breakable(_app(self.api, control)))

    @property
    def url(self) -> str:
        """What COFFEE_TMETR_URL is set to."""
        return self._server.address

    def cups(self, order_uuid: str = "") -> list[Cup]:
        """What was really poured, for one order or for all."""
        return self.hall.cups(order_uuid)

    def calls(self, endpoint: Endpoint) -> list[dict[str, object]]:
        """What was asked of one call, oldest first."""
        return [call for call in self.api.calls() if call["endpoint"] == endpoint.value]

    def fault(self, kind: FaultKind, endpoint: Endpoint = Endpoint.ANY, **more: object) -> None:
        """Switch on one fault; `more` are the fields of `Fault`."""
        self.faults.add(Fault(kind, endpoint, **more))  # type: ignore[arg-type]  # the fields are checked there

    def advance(self, seconds: float) -> datetime:
        """Jump forward in time."""
        return self.clock.advance(seconds)

    def start(self) -> Self:
        self._server.start()
        return self

    def close(self) -> None:
        """Stop answering; hangs end. Harmless when done twice."""
        self._closing.set()
        self._server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _app(api: Api, control: Control) -> Flask:
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_blueprint(api.blueprint())
    app.register_blueprint(control.blueprint())

    def http_error(error: HTTPException) -> tuple[Response, int]:
        return jsonify(errorCode="NOT_FOUND", errorId="", errorMessage=error.name), error.code or 500

    app.register_error_handler(HTTPException, http_error)
    return app


def _breakable(app: Flask) -> "WSGIApplication":
    """The application, raising ConnectionResetError in place of an answer that a fault breaks."""

    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chunks = app.wsgi_app(environ, start)
        if environ.get(RESET_MARK):
            raise ConnectionResetError("a fault breaks this connection")
        return chunks

    return call
