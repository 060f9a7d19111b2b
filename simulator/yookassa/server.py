"""The simulated provider as one object: its parts put together. Holds no rule of its own."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException

from simulator.shell.clock import Clock, real_clock
from simulator.shell.delivery import HttpPost, Post
from simulator.shell.faults import FaultBoard
from simulator.shell.service import NotifyingService, build_app
from simulator.shell.webhooks import Notification
from simulator.yookassa.api import JSON_TYPE, Api
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.books import Books, Event
from simulator.yookassa.control import Control
from simulator.yookassa.faults import Fault
from simulator.yookassa.objects import Artist
from simulator.yookassa.paypage import PayPage
from simulator.yookassa.problems import NOT_FOUND, Problem
from simulator.yookassa.provider import Provider
from simulator.yookassa.shops import DEFAULT_SHOP, Shop, ShopTable
from simulator.yookassa.terms import Terms


class YooKassaSimulator(NotifyingService):
    """A whole simulated YooKassa on 127.0.0.1.

    port: 0 takes a free one; the socket listens from construction on, so OSError is raised here.
    webhook_url: for every shop, or a dict by shop id. time_scale multiplies every duration of `terms`.
    clock, seed, post: what the rules take from outside; with `wsgi` and `step` it runs in-process without a thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        shops: Iterable[Shop] = (DEFAULT_SHOP,),
        webhook_url: str | dict[str, str] | None = None,
        time_scale: float = 1.0,
        public_url: str | None = None,
        terms: Terms | None = None,
        clock: Clock = real_clock,
        seed: str | None = None,
        post: Post | None = None,
    ) -> None:
        terms = (terms or Terms()).scaled(time_scale)
        super().__init__(port, terms.redelivery, post or HttpPost(), clock, seed)
        self.shops = table = ShopTable(shops)
        self.faults: FaultBoard[Fault] = FaultBoard(self._hangs_over, self._ids.chance)
        self.provider = Provider(table, Books(terms), self.clock, self._ids, self._tell, self._alarm.ring)
        self._aim(webhook_url)
        self._artist = Artist(table, public_url or "")
        api = Api(table, self.provider, self._artist, self.faults)
        page = PayPage(table, self.provider, self.clock)
        control = Control(self.provider, self._artist, self.faults, self.webhooks, self.clock, self.advance)
        parts = (api.blueprint(), page.blueprint(), control.blueprint())
        self._serve(build_app(__name__, parts, self._unknown))
        self._artist.public_url = (public_url or self.address).rstrip("/")

    @property
    def _rules(self) -> Provider:
        return self.provider

    @property
    def url(self) -> str:
        """The base of the API, as a shop's settings want it."""
        return f"{self.address}/v3"

    @property
    def behaviour(self) -> Behaviour:
        """Replace it whole to change it: `simulator.behaviour = Behaviour(...)`."""
        return self.provider.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.provider.behaviour = behaviour

    def page_url(self, payment_id: str) -> str:
        """Where the buyer pays."""
        return self._artist.page_url(payment_id)

    def pay(self, payment_id: str, card: str = "", method: str = "bank_card") -> None:
        """The buyer's part, without a browser. Raises problems.Rejected when the payment cannot be paid so."""
        self.provider.attempt(payment_id, method, card)

    def _aim(self, webhook_url: str | dict[str, str] | None) -> None:
        targets = webhook_url if isinstance(webhook_url, dict) else {"": webhook_url}
        for shop_id, url in targets.items():
            self.webhooks.aim(url, shop_id)

    def _tell(self, event: Event, now: datetime) -> None:
        body = msgspec.json.encode(self._artist.event(event))
        subject = event.subject
        self.webhooks.tell(Notification(subject.shop_id, event.name, subject.id, body), now)

    def _unknown(self, error: HTTPException) -> Response:
        """What no part knows is answered in the provider's words."""
        status = error.code or 500
        problem = NOT_FOUND if status == NOT_FOUND.status else Problem(status, "invalid_request", error.name)
        return Response(msgspec.json.encode(problem.body(self._ids.error())), status, content_type=JSON_TYPE)
