"""The simulated provider as one object: its parts put together, started and stopped. Holds no rule of its own."""

import secrets
import threading
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType

import msgspec

from simulator.yookassa.alarm import Alarm
from simulator.yookassa.api import Api
from simulator.yookassa.application import breakable, build_app
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.books import Books, Event
from simulator.yookassa.clock import AdvancingClock, Clock, real_clock
from simulator.yookassa.control import Control
from simulator.yookassa.delivery import HttpPost, Post, SenderThreads, WebhookSender
from simulator.yookassa.faults import FaultBoard
from simulator.yookassa.ids import IdSource
from simulator.yookassa.objects import Artist
from simulator.yookassa.paypage import PayPage
from simulator.yookassa.provider import Provider
from simulator.yookassa.shops import DEFAULT_SHOP, Shop, ShopTable
from simulator.yookassa.terms import Terms
from simulator.yookassa.webhooks import Notification, WebhookQueue
from simulator.yookassa.wire import WireServer


class YooKassaSimulator:
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
        table = ShopTable(shops)
        ids = IdSource(seed or secrets.token_hex(8))
        self._alarm = Alarm()
        self._closing = threading.Event()
        self._post = post or HttpPost()
        self.clock = AdvancingClock(clock)
        self.webhooks = WebhookQueue(terms.redelivery, ids.chance, self._alarm.ring)
        self.faults = FaultBoard(ids.chance)
        self.provider = Provider(table, Books(terms), self.clock, ids, self._tell, self._alarm.ring)
        self._aim(webhook_url)
        self._sender = WebhookSender(self.webhooks, self._post, self.clock)
        self._threads = SenderThreads(self.step, self.clock, self._alarm)
        self._started = False
        self._artist = Artist(table, public_url or "")
        api = Api(table, self.provider, self._artist, self.faults, self._closing)
        page = PayPage(table, self.provider, self.clock)
        control = Control(self.provider, self._artist, self.faults, self.webhooks, self.clock, self.advance)
        blueprints = (api.blueprint(), page.blueprint(), control.blueprint())
        self.wsgi = breakable(build_app(blueprints, ids.error))
        self._server = WireServer("127.0.0.1", port, self.wsgi)
        self._artist.public_url = (public_url or self.address).rstrip("/")

    @property
    def address(self) -> str:
        return self._server.address

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

    def start(self) -> "YooKassaSimulator":
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
        if isinstance(self._post, HttpPost):
            self._post.close()

    def step(self, now: datetime) -> datetime | None:
        """Do what is due at the provider and send at most one notification; when there is more to do."""
        due = self.provider.settle()
        told = self._sender.step(now)
        return min((at for at in (due, told) if at is not None), default=None)

    def advance(self, seconds: float) -> datetime:
        """Jump forward in time and let what fell due happen; the new time."""
        now = self.clock.advance(seconds)
        self.provider.settle()
        self._alarm.ring(everybody=True)
        return now

    def pay(self, payment_id: str, card: str = "", method: str = "bank_card") -> None:
        """The buyer's part, without a browser. Raises problems.Rejected when the payment cannot be paid so."""
        self.provider.attempt(payment_id, method, card)

    def __enter__(self) -> "YooKassaSimulator":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _aim(self, webhook_url: str | dict[str, str] | None) -> None:
        targets = webhook_url if isinstance(webhook_url, dict) else {"": webhook_url}
        for shop_id, url in targets.items():
            self.webhooks.aim(url, shop_id)

    def _tell(self, event: Event, now: datetime) -> None:
        body = msgspec.json.encode(self._artist.event(event))
        subject = event.subject
        self.webhooks.tell(Notification(subject.shop_id, event.name, subject.id, body), now)
