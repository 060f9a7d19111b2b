"""The simulated bank as one object: its parts put together. Holds no rule of its own."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException

from simulator.shell.clock import Clock, real_clock
from simulator.shell.delivery import Post
from simulator.shell.faults import FaultBoard
from simulator.shell.service import NotifyingService, build_app
from simulator.shell.webhooks import Notification
from simulator.tbank.api import Api
from simulator.tbank.bank import Bank
from simulator.tbank.books import Books
from simulator.tbank.control import Control
from simulator.tbank.delivery import OkPost
from simulator.tbank.faults import Fault
from simulator.tbank.messages import notification
from simulator.tbank.paypage import PayPage
from simulator.tbank.state import CARD, Payment
from simulator.tbank.terminals import DEFAULT_TERMINAL, Terminal, TerminalTable
from simulator.tbank.terms import Behaviour, Terms


class TBankSimulator(NotifyingService):
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
        super().__init__(port, terms.redelivery, post or OkPost(), clock, seed)
        self._terminals = TerminalTable(terminals)
        self.webhooks.aim(webhook_url)
        self.faults: FaultBoard[Fault] = FaultBoard(self._hangs_over, self._ids.chance)
        self.bank = Bank(self._terminals, Books(terms), self.clock, self._ids, self._tell, self._alarm.ring)
        api = Api(self._terminals, self.bank, self.faults, self.clock)
        control = Control(self._terminals, self.bank, self.faults, self.webhooks, self.clock, self.advance)
        page = PayPage(self._terminals, self.bank)
        self._serve(build_app(__name__, (api.blueprint(), control.blueprint(), page.blueprint()), _http_error))
        api.public_url = (public_url or self.address).rstrip("/")

    @property
    def _rules(self) -> Bank:
        return self.bank

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

    def pay(self, payment_id: str, method: str = CARD) -> None:
        """The buyer's part, without a browser."""
        self.bank.pay(payment_id, method)

    def _tell(self, payment: Payment, now: datetime) -> None:
        password = self._terminals[payment.terminal].password
        body = msgspec.json.encode(notification(payment, password, self.bank.behaviour.numbers))
        told = Notification(payment.terminal, str(payment.status), payment.id, body, payment.notification_url)
        self.webhooks.tell(told, now)


def _http_error(error: HTTPException) -> Response:
    return Response(error.name, error.code or 500, content_type="text/plain")
