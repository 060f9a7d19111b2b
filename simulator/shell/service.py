"""A simulated service as a running thing: on a port of loopback, with a clock, notifications, and faults that break
connections. Holds no rule of any service.
"""

import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from simulator.shell.alarm import Alarm
from simulator.shell.clock import AdvancingClock, Clock, real_clock
from simulator.shell.delivery import HttpPost, Post, SenderThreads, WebhookSender
from simulator.shell.ids import IdSource
from simulator.shell.webhooks import WebhookQueue
from simulator.shell.wire import DRIP_MARK, MAX_BODY, WireServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_RESET_MARK = "simulator.reset"
HttpErrorPage = Callable[[HTTPException], ResponseReturnValue]


class Rules(Protocol):
    """The service's own rules, as far as time moves them."""

    def settle(self) -> datetime | None:
        """Do what is due; when more falls due."""


def build_app(name: str, blueprints: Iterable[Blueprint], http_error: HttpErrorPage | None = None) -> Flask:
    """One application out of these parts; `http_error` answers what none of them knows."""
    app = Flask(name, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    if http_error is not None:
        app.register_error_handler(HTTPException, http_error)
    return app


def break_connection() -> None:
    """A fault breaks the connection of the request under way in place of its answer."""
    request.environ[_RESET_MARK] = True


def drip(seconds: float) -> None:
    """A fault lets the answer of the request under way drip, a byte at a time, and breaks off at last."""
    request.environ[DRIP_MARK] = seconds


def breakable(app: Flask) -> "WSGIApplication":
    """The application, raising ConnectionResetError in place of an answer that a fault breaks."""

    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chunks = app.wsgi_app(environ, start)
        if environ.get(_RESET_MARK):
            raise ConnectionResetError("a fault breaks this connection")
        return chunks

    return call


class Service:
    """Answers on 127.0.0.1 from `start` to `close`; a port of 0 takes a free one. OSError when the port is taken."""

    def __init__(self, port: int, clock: Clock = real_clock) -> None:
        self.clock = AdvancingClock(clock)
        self._port = port
        self._hangs_over = threading.Event()
        """For the board of faults; set at the end."""

    def _serve(self, app: Flask) -> None:
        """Take the port: its address is known from here on."""
        self.wsgi = breakable(app)
        self._server = WireServer("127.0.0.1", self._port, self.wsgi)

    @property
    def address(self) -> str:
        return self._server.address

    def start(self) -> Self:
        self._server.start()
        return self

    def close(self) -> None:
        """Stop answering; hangs end. Harmless when done twice."""
        self._hangs_over.set()
        self._server.close()

    def advance(self, seconds: float) -> datetime:
        """Jump forward in time; the new time."""
        return self.clock.advance(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NotifyingService(Service, ABC):
    """A service that also tells its news by webhooks. With `wsgi` and `step` it runs in-process without a thread."""

    def __init__(
        self, port: int, redelivery: tuple[float, ...], post: HttpPost | Post, clock: Clock, seed: str | None
    ) -> None:
        super().__init__(port, clock)
        self._ids = IdSource(seed or secrets.token_hex(8))
        self._alarm = Alarm()
        self._post = post
        self.webhooks = WebhookQueue(redelivery, self._ids.chance, self._alarm.ring)
        self._sender = WebhookSender(self.webhooks, post, self.clock)
        self._threads = SenderThreads(self.step, self.clock, self._alarm)
        self._started = False

    @property
    @abstractmethod
    def _rules(self) -> Rules:
        """What time moves."""

    def start(self) -> Self:
        self._started = True
        self._threads.start()
        return super().start()

    def close(self) -> None:
        """Stop answering and sending; waits for notifications in flight. Harmless when done twice."""
        super().close()
        if self._started:
            self._started = False
            self._threads.close()
        if isinstance(self._post, HttpPost):
            self._post.close()

    def step(self, now: datetime) -> datetime | None:
        """Do what is due and send at most one notification; when there is more to do."""
        due = self._rules.settle()
        told = self._sender.step(now)
        return min((at for at in (due, told) if at is not None), default=None)

    def advance(self, seconds: float) -> datetime:
        """Jump forward in time and let what fell due happen; the new time."""
        now = super().advance(seconds)
        self._rules.settle()
        self._alarm.ring(everybody=True)
        return now
