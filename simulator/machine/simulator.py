"""The whole simulated machine, running: memory, behaviour, wire, line, and its front panel over HTTP."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from simulator.machine.behaviour import CoffeeMachine
from simulator.machine.controls import Controls
from simulator.machine.faults import Faults, Setting
from simulator.machine.line import Line, PtyPort, TcpPort
from simulator.machine.memory import Cup, Memory, MemoryFile
from simulator.machine.menu import Menu
from simulator.machine.panel import create_app
from simulator.machine.power import Timing
from simulator.machine.wire import Wire

_log = logging.getLogger(__name__)


def _new_boot_id() -> str:
    """Never from the seed: a restarted simulator must not repeat itself."""
    return secrets.token_hex(4)


class _QuietHandler(WSGIRequestHandler):
    """The panel asks several times a second; nobody reads that log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


class MachineSimulator:
    """`with MachineSimulator(tty=path) as machine:` ... `machine.tty` is what an agent opens, `machine.url` the panel.

    Give `tty` (a symlink to be, ValueError when another thing has that name) or `tcp` (a port of 127.0.0.1, 0 for any).
    `http=None` leaves the panel out.
    `memory` is a file that lets a killed simulator come back with what it knew. `on_repair`: see `panel.create_app`.
    """

    def __init__(
        self,
        *,
        tty: Path | None = None,
        tcp: int | None = None,
        http: int | None = 0,
        device_uuid: str = "m-001",
        cloud_url: str = "http://127.0.0.1:8080",
        home_url: str | None = None,
        qr_key: bytes | None = None,
        memory: Path | None = None,
        timing: Timing | None = None,
        menu: Menu | None = None,
        seed: int = 0,
        faults: Mapping[str, Setting | None] | None = None,
        on_repair: Callable[[], None] | None = None,
    ) -> None:
        if (tty is None) == (tcp is None):
            raise ValueError("a machine has one line: give tty or tcp")
        self._port = PtyPort(tty) if tty else TcpPort(tcp or 0)
        random = Random(seed)  # noqa: S311 - a fault that struck by chance must strike again from its seed
        self._faults = Faults(random)
        machine = CoffeeMachine(
            MemoryFile(memory) if memory else Memory(), self._faults, _new_boot_id, timing=timing, menu=menu
        )
        self.controls = Controls(
            Wire(machine, self._faults, random), self._faults, random,
            device_uuid=device_uuid, cloud_url=cloud_url, qr_key=qr_key,
        )  # fmt: skip
        for name, setting in (faults or {}).items():
            self.controls.switch_on(name, setting)
        self._tty = tty
        self._line = Line(self._port, self.controls.turn, self.controls.is_plugged)
        self._home_url = home_url
        self._on_repair = on_repair
        self._http = http
        self._server: BaseWSGIServer | None = None
        self._closed = False

    @property
    def tty(self) -> str:
        """What the agent opens: the symlink, or pyserial's `socket://` address."""
        if isinstance(self._port, TcpPort):
            return f"socket://127.0.0.1:{self._port.number}"
        return str(self._tty)

    @property
    def url(self) -> str:
        """The front panel's address, once started."""
        if self._server is None:
            raise RuntimeError("this machine has no panel, or is not started")
        return f"http://127.0.0.1:{self._server.port}"

    def cups(self, order_uuid: str) -> int:
        """Ground truth: cups filled to the brim for this order."""
        return self.controls.cups(order_uuid)

    def poured(self, order_uuid: str | None) -> list[Cup]:
        """Ground truth: every cup something flowed into for this order, full or not."""
        return self.controls.poured(order_uuid)

    def start(self) -> None:
        """The line can be opened and the panel answers when this returns."""
        if self._http is not None:
            app = create_app(self.controls, self._home_url, self._on_repair)
            self._server = make_server("127.0.0.1", self._http, app, threaded=True, request_handler=_QuietHandler)
            serve = self._server.serve_forever
            threading.Thread(target=serve, args=(0.05,), name="machine-panel", daemon=True).start()
        self.controls.wake = self._line.wake
        self._line.start()
        _log.info("machine %s on %s", self.controls.device_uuid, self.tty)

    def close(self) -> None:
        """Stop everything; harmless twice."""
        if self._closed:
            return
        self._closed = True
        self.controls.wake = _nothing
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._line.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _nothing() -> None: ...
