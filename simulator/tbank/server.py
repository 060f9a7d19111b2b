"""The simulated bank as one object: its parts put together, started and stopped. Holds no rule of its own."""

import secrets
import threading
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from simulator.tbank.api import Api
from simulator.tbank.bank import Bank
from simulator.tbank.books import Books
from simulator.tbank.control import Control
from simulator.tbank.delivery import OkPost
from simulator.tbank.faults import FaultBoard
from simulator.tbank.messages import notification
from simulator.tbank.paypage import PayPage
from simulator.tbank.state import CARD, Payment
from simulator.tbank.terminals import DEFAULT_TERMINAL, Terminal, TerminalTable
from simulator.tbank.terms import Behaviour, Terms
from simulator.yookassa.alarm import Alarm
from simulator.yookassa.application import breakable
from simulator.yookassa.clock import AdvancingClock, Clock, real_clock
from simulator.yookassa.delivery import Post, SenderThreads, WebhookSender
from simulator.yookassa.ids import IdSource
from simulator.yookassa.webhooks import Notification, WebhookQueue
from simulator.yookassa.wire import MAX_BODY, WireServer


class TBankSimulator:
    """A whole simulated T-Bank on 127.0.0.1.

    port: 0 takes a free one; the socket listens from construction on, so OSError is raised here.
    webhook_url: for payments whose Init names none. time_scale multiplies every duration of `terms`.
    clock, seed, post: what the rules take from outside; with `wsgi` and `step` it runs in-process without a thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        terminals: Iterable[Terminal] = (DEFAULT_TERMINAL,),
        webhook_url: str | None = None,
        time_scale: float = 1.0,
        public_url: str | None = None,
        terms: Terms | None = None,
        clock: Clock = real_clock,
        seed: str | None = None,
        post: Post | None = None,
    ) -> None:
        terms = (terms or Terms()).scaled(time_scale)
        self._terminals = TerminalTable(terminals)
        ids = IdSource(seed or secrets.token_hex(8))
        self._alarm = Alarm()
        self._closing = threading.Event()
        self._post = post or OkPost()
        self.clock = AdvancingClock(clock)
        self.webhooks = WebhookQueue(terms.redelivery, ids.chance, self._alarm.ring)
        self.webhooks.aim(webhook_url)
        self.faults = FaultBoard(ids.chance)
        self.bank = Bank(self._terminals, Books(terms), self.clock, ids, self._tell, self._alarm.ring)
        self._sender = WebhookSender(self.webhooks, self._post, self.clock)
        self._threads = SenderThreads(self.step, self.clock, self._alarm)
        self._started = False
        api = Api(self._terminals, self.bank, self.faults, self.clock, self._closing)
        control = Control(self._terminals, self.bank, self.faults, self.webhooks, self.clock, self.advance)
        page = PayPage(self._terminals, self.bank)
        app = Flask(__name__, static_folder=None, template_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.register_error_handler(HTTPException, _http_error)
        for part in (api, control, page):
            app.register_blueprint(part.blueprint())
        self.wsgi = breakable(app)
        self._server = WireServer("127.0.0.1", port, self.wsgi)
        api.public_url = (public_url or self.address).rstrip("/")

    @property
    def address(self) -> str:
        return self._server.address

    @property
    def url(self) -> str:
        """The base of the API, as a merchant's settings want it."""
        return f"{self.address}/v2"

    @property
    def behaviour(self) -> Behaviour:
        """Replace it whole to change it: `simulator.behaviour = Behaviour(...)`."""
        return self.bank.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.bank.behaviour = behaviour

    def start(self) -> "TBankSimulator":
        self._started = True
        self._threads.start()
        self._server.start()
        return self

    def close(self) -> None:
        """Stop answering and sending; waits for notifications in flight. Harmless when done twice."""
        self._closing.set()
        self._server.close()
        if self._started:
            self._started = False
            self._threads.close()
        if isinstance(self._post, OkPost):
            self._post.close()

    def step(self, now: datetime) -> datetime | None:
        """Do what is due at the bank and send at most one notification; when there is more to do."""
        due = self.bank.settle()
        told = self._sender.step(now)
        return min((at for at in (due, told) if at is not None), default=None)

    def advance(self, seconds: float) -> datetime:
        """Jump forward in time and let what fell due happen; the new time."""
        now = self.clock.advance(seconds)
        self.bank.settle()
        self._alarm.ring(everybody=True)
        return now

    def pay(self, payment_id: str, method: str = CARD) -> None:
        """The buyer's part, without a browser."""
        self.bank.pay(payment_id, method)

    def __enter__(self) -> "TBankSimulator":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, payment: Payment, now: datetime) -> None:
        password = self._terminals[payment.terminal].password
        body = msgspec.json.encode(notification(payment, password, self.bank.behaviour.numbers))
        if payment.notification_url:
            self.webhooks.aim(payment.notification_url, payment.terminal)
        self.webhooks.tell(Notification(payment.terminal, str(payment.status), payment.id, body), now)


def _http_error(error: HTTPException) -> Response:
    return Response(error.name, error.code or 500, content_type="text/plain")
