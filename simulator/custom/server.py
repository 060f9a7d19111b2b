"""The simulated merchant as one object: its parts put together, started and stopped. Holds no rule of its own."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flask import Flask

from simulator.custom.books import Books
from simulator.custom.callbacks import Callbacks
from simulator.custom.control import Control
from simulator.custom.faults import FaultBoard
from simulator.custom.merchant import RESET_MARK, Merchant
from simulator.yookassa.wire import WireServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY = 64 * 1024


class CustomSimulator:
    """`with CustomSimulator(account, secret, callback_url) as merchant:` on 127.0.0.1; port 0 takes a free one.

    `sends`: callbacks leave by themselves; otherwise only at `callbacks.send_waiting()`.
    """

    def __init__(
        self, account: str, secret: str, callback_url: str = "", *, port: int = 0, sends: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self.faults = FaultBoard()
        self.callbacks = Callbacks(callback_url, secret, clock)
        self.books = Books(clock, lambda payment: self.callbacks.tell(payment.told(account)))
        self.merchant = Merchant(account, secret, self.books, self.faults)
        self._sends = sends
        app = Flask(__name__, static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.register_blueprint(self.merchant.blueprint())
        app.register_blueprint(Control(self.books, self.faults, self.callbacks).blueprint())
        self._server = WireServer("127.0.0.1", port, _breakable(app))

    @property
    def address(self) -> str:
        """Where everything is: `/page`, `/status`, `/action`, and `/sim` for tests."""
        return self._server.address

    def change_secret(self, secret: str) -> None:
        """The two sides have agreed on another key."""
        self.merchant.secret = self.callbacks.secret = secret

    def start(self) -> Self:
        self._server.start()
        if self._sends:
            self.callbacks.start()
        return self

    def close(self) -> None:
        self._server.close()
        self.callbacks.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _breakable(app: Flask) -> "WSGIApplication":
    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chunks = app.wsgi_app(environ, start)
        if environ.get(RESET_MARK):
            raise ConnectionResetError("a fault breaks this connection")
        return chunks

    return call
