"""The simulated Tmetr as one object: its parts put together. Holds no rule of its own."""

from collections.abc import Iterable

from flask import jsonify
from flask.wrappers import Response
from werkzeug.exceptions import HTTPException

from simulator.shell.clock import Clock, real_clock
from simulator.shell.faults import FaultBoard
from simulator.shell.service import Service, build_app
from simulator.tmetr.api import Api
from simulator.tmetr.control import Control
from simulator.tmetr.faults import Endpoint, Fault, FaultKind
from simulator.tmetr.machines import Cup, Machine, MachineHall

DEFAULT_TOKEN = "test_tmetr_token"  # noqa: S105  # opens nothing but this simulator


class TmetrSimulator(Service):
    """A whole simulated Tmetr on 127.0.0.1; port 0 takes a free one, and OSError is raised here when it is taken."""

    def __init__(
        self,
        machines: Iterable[Machine],
        *,
        port: int = 0,
        token: str = DEFAULT_TOKEN,
        clock: Clock = real_clock,
    ) -> None:
        super().__init__(port, clock)
        self.token = token
        self.hall = MachineHall(machines, self.clock)
        self.faults: FaultBoard[Fault] = FaultBoard(self._hangs_over)
        self.api = Api(token, self.hall, self.faults)
        control = Control(self.hall, self.api, self.faults, self.clock)
        self._serve(build_app(__name__, (self.api.blueprint(), control.blueprint()), _http_error))

    @property
    def url(self) -> str:
        """What COFFEE_TMETR_URL is set to."""
        return self.address

    def cups(self, order_uuid: str = "") -> list[Cup]:
        """What was really poured, for one order or for all."""
        return self.hall.cups(order_uuid)

    def calls(self, endpoint: Endpoint) -> list[dict[str, object]]:
        """What was asked of one call, oldest first."""
        return [call for call in self.api.calls() if call["endpoint"] == endpoint.value]

    def fault(self, kind: FaultKind, endpoint: Endpoint = Endpoint.ANY, **more: object) -> None:
        """Switch on one fault; `more` are the fields of `Fault`."""
        self.faults.add(Fault(kind, endpoint, **more))  # type: ignore[arg-type]  # the fields are checked there


def _http_error(error: HTTPException) -> tuple[Response, int]:
    return jsonify(errorCode="NOT_FOUND", errorId="", errorMessage=error.name), error.code or 500
