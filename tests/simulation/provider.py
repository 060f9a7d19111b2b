"""YooKassa in a world: the simulator's own books and rules behind a wire that loses, delays and repeats.

The wire is the client's `Transport`, replaced: each exchange takes its time while everything else goes on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from cloud.payments.outcomes import NotSent, Unknown
from cloud.payments.transport import Question, Reply
from simulator.shell.clock import AdvancingClock
from simulator.shell.ids import IdSource
from simulator.yookassa import Shop, problems
from simulator.yookassa.books import Books, Event
from simulator.yookassa.objects import Artist, Json, list_object, refund_object
from simulator.yookassa.problems import Problem, Rejected
from simulator.yookassa.provider import Call, Provider
from simulator.yookassa.refunds import Refund
from simulator.yookassa.shops import ShopTable
from simulator.yookassa.state import Payment
from simulator.yookassa.state import Status as ProviderStatus
from simulator.yookassa.terms import Terms
from tests.simulation.faults import Faults
from tests.simulation.fleet import A_PART
from tests.simulation.here import here
from tests.simulation.scheduler import BIRTH, Scheduler
from tests.simulation.timeline import Timeline

PATHS_BEFORE = "/v3"
BY_HAND = "by hand"
"""What a refund says that a person made past the API."""
HTTP_TURNED_AWAY = 429
"""From this status on an answer does not say that an earlier sending of the same call did nothing."""
GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head></html>"


class ProviderSide:
    """The provider and its way of telling news. `deliver(body)` brings one notification to the cloud's door."""

    def __init__(
        self, scheduler: Scheduler, faults: Faults, timeline: Timeline, shops: list[Shop], terms: Terms, seed: int
    ) -> None:
        self.scheduler = scheduler
        self.timeline = timeline
        self.terms = terms
        self.deliver: Callable[[bytes, Callable[[int], None]], None] = lambda _body, _answered: None
        self.deliveries = 0
        """Notifications on their way."""
        self._faults = faults
        self._shops = ShopTable(shops)
        ids = IdSource(f"world-{seed}")
        self.books = Provider(
            self._shops, Books(terms), AdvancingClock(lambda: scheduler.true_time), ids, self._tell, self._look_soon
        )
        self._artist = Artist(self._shops, "https://pay.example.org")
        self._look_at = float("inf")
        self.by_hand_at: dict[str, float] = {}
        """When people of the shop gave a payment's money back, true seconds."""
        self._past: dict[str, list[tuple[float, Payment]]] = {}
        """How each payment looked, and since when, true seconds."""
        self.asked_back: set[str] = set()
        """Payments whose money we have asked to go back, whatever came of it."""

    # What the shop's calls do

    def serve(self, auth: tuple[str, str], question: Question) -> Reply:
        """The answer to one call that has arrived, whatever the wire does to it later."""
        try:
            shop = self._shops.authenticate(*auth)
            if shop is None:
                raise Rejected(problems.BAD_CREDENTIALS)
            answer = self._route(shop, question)
        except Rejected as rejected:
            return self.problem(rejected.problem)
        self.settle()
        return Reply(200, msgspec.json.encode(answer))

    def as_it_was(self, payment_id: str, seconds: float) -> Reply | None:
        """Show the payment as it was so long ago, as a lagging copy of the books does; None when it was not there."""
        known = [one for since, one in self._past.get(payment_id, ()) if since <= self.scheduler.now - seconds]
        return Reply(200, msgspec.json.encode(self._artist.payment(known[-1]))) if known else None

    def problem(self, problem: Problem) -> Reply:
        return Reply(problem.status, msgspec.json.encode(problem.body(self.books.ids.error())))

    def _route(self, shop: Shop, question: Question) -> Json:
        parts = question.path.strip("/").split("/")
        call = Call(shop, question.key or "", PATHS_BEFORE + question.path, question.body or b"")
        params: dict[str, str] = dict(question.params or {})
        match question.verb, *parts:
            case "POST", "payments":
                return self._artist.payment(self.books.create(call))
            case "POST", "payments", payment_id, "capture":
                return self._artist.payment(self.books.capture(call, payment_id))
            case "POST", "payments", payment_id, "cancel":
                return self._artist.payment(self.books.cancel(call, payment_id))
            case "POST", "refunds":
                return refund_object(self.books.refund(call))
            case "GET", "payments":
                page = self.books.list_payments(shop, params)
                return list_object([self._artist.payment(one) for one in page.items], page.next_cursor)
            case "GET", "payments", payment_id:
                return self._artist.payment(self.books.get_payment(shop, payment_id))
            case "GET", "refunds":
                refunds = self.books.list_refunds(shop, params)
                return list_object([refund_object(one) for one in refunds.items], refunds.next_cursor)
            case "GET", "refunds", refund_id:
                return refund_object(self.books.get_refund(shop, refund_id))
        raise Rejected(problems.NOT_FOUND)

    def secret_of(self, shop_id: str) -> str:
        return self._shops[shop_id].secret

    def rotate(self, shop_id: str) -> str:
        """A new secret for a shop, in the cabinet; the old one is refused from now on."""
        secret = f"{self._shops[shop_id].secret}+"
        self._shops._shops[shop_id] = replace(self._shops[shop_id], secret=secret)
        self.timeline.add("provider", f"the key of shop {shop_id} is rotated")
        return secret

    # What the buyer does, and what is true

    def pay(self, page_url: str, method: str, card: str = "") -> bool:
        """At the payment page; False when it can no longer be paid."""
        payment_id = page_url.rpartition("=")[2]
        try:
            payment = self.books.attempt(payment_id, method, card)
        except Rejected as rejected:
            self.timeline.add("provider", f"payment page says no: {rejected.problem.code}")
            return False
        self.timeline.add(
            "provider", f"paid by {method}: now {payment.status}", str(payment.request.metadata["order_id"])
        )
        self.settle()
        return True

    def refund_in_cabinet(self, payment: Payment) -> None:
        """All that is left of it, by a person of the shop, past the API."""
        self._tell_by_hand("refunded", payment)
        self.books.refund_in_cabinet(payment.id, None, BY_HAND)
        self.by_hand_at[payment.id] = self.scheduler.now
        self.settle()

    def refund_part_in_cabinet(self, payment: Payment) -> None:
        """A part of it, by a person of the shop; the rest is for whoever else decides."""
        self._tell_by_hand("a part refunded", payment)
        self.books.refund_in_cabinet(payment.id, A_PART, BY_HAND)
        self.settle()

    def let_go_in_cabinet(self, payment: Payment) -> None:
        """A hold, by a person of the shop, past the API's callers."""
        self._tell_by_hand("hold let go", payment)
        self.books.cancel(self._call_by_hand("cancel", payment), payment.id)
        self.by_hand_at[payment.id] = self.scheduler.now
        self.settle()

    def capture_in_cabinet(self, payment: Payment) -> None:
        """A hold, by a person of the shop, whatever becomes of the drink."""
        self._tell_by_hand("hold captured", payment)
        self.books.capture(self._call_by_hand("capture", payment), payment.id)
        self.settle()

    def _tell_by_hand(self, what: str, payment: Payment) -> None:
        order_id = str(payment.request.metadata["order_id"])
        self.timeline.add("provider", f"{what} in the cabinet: {payment.id}", order_id)

    def _call_by_hand(self, act: str, payment: Payment) -> Call:
        path = f"{PATHS_BEFORE}/payments/{payment.id}/{act}"
        return Call(self._shops[payment.shop_id], f"{BY_HAND} {payment.id}", path, b"{}")

    def payments_of(self, order_id: str) -> list[Payment]:
        return [one for one in self.payments() if one.request.metadata.get("order_id") == order_id]

    def payments(self) -> list[Payment]:
        return [payment for payment, _ in self.books.snapshot()[0]]

    def refunds_of(self, payment_id: str) -> list[Refund]:
        return [
            one
            for one in self.books.snapshot()[1]
            if one.payment_id == payment_id and one.status is not ProviderStatus.CANCELED
        ]

    def parts_by_hand(self, payment_id: str) -> list[Refund]:
        """What people of the shop gave back of a payment that they did not give back whole."""
        refunds = self.refunds_of(payment_id)
        return [one for one in refunds if one.request.description == BY_HAND and one.amount == A_PART]

    # News

    def settle(self) -> None:
        """Let what is due happen, and look again when the next thing is."""
        due = self.books.settle()
        for payment in self.payments():
            past = self._past.setdefault(payment.id, [])
            if not past or past[-1][1] is not payment:
                past.append((self.scheduler.now, payment))
        if due is not None:
            self._look_by((due - BIRTH).total_seconds() + 0.001)

    def _look_soon(self) -> None:
        self._look_by(self.scheduler.now + 0.001)

    def _look_by(self, when: float) -> None:
        """Once for each moment: a thousand questions about open payments must not become a thousand looks."""
        if when < self._look_at:
            self._look_at = when
            self.scheduler.at(when, self._look)

    def _look(self) -> None:
        if self.scheduler.now >= self._look_at:
            self._look_at = float("inf")
            self.settle()

    def _tell(self, event: Event, _now: datetime) -> None:
        subject = event.subject
        self.timeline.add("provider", f"news: {event.name} of {subject.id}")
        if self._faults.strikes("webhook.lost"):
            return
        body = msgspec.json.encode(self._artist.event(event))
        self._post(body, 0, self._first_delay())
        if again := self._faults.strikes("webhook.duplicated"):
            self._post(body, 0, self._faults.random(again).uniform(0.0, 600.0))

    def _first_delay(self) -> float:
        late = self._faults.strikes("webhook.late")
        return self._faults.random(late).choice((5.0, 40.0, 200.0, 1000.0)) if late else 0.2

    def _post(self, body: bytes, attempt: int, after: float) -> None:
        self.deliveries += 1

        def answered(status: int) -> None:
            self.deliveries -= 1
            if status != 200 and attempt < len(self.terms.redelivery) - 2:
                self._post(body, attempt + 1, self.terms.redelivery[attempt])

        self.scheduler.after(after, lambda: self.deliver(body, answered))


_ODD_ANSWERS: dict[str, Callable[[ProviderSide], Reply]] = {
    "500": lambda side: side.problem(problems.SERVER_ERROR),
    "429": lambda side: side.problem(problems.too_many_requests(1800)),
    "502": lambda _side: Reply(502, GATEWAY_PAGE),
}


class Keys:
    """One act has one key until the provider has said yes or no to it: another could do it twice.

    A sending that never reached it, or was turned away at the door (429), did nothing and binds nobody by itself.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._open: dict[tuple[str, bytes], str] = {}

    def forget(self) -> None:
        """Whoever chose them has forgotten them: the database was put back."""
        self._open.clear()

    def sent(self, question: Question) -> bool:
        """Whether it goes out for the first time, as far as anybody knows."""
        act = (question.path, question.body or b"")
        is_first = act not in self._open
        if self._open.setdefault(act, question.key or "") != question.key:
            self._complain(f"{question.path} goes out under {question.key}, and {self._open[act]} was never answered")
        return is_first

    def looked_up(self, question: Question) -> None:
        """What became of it was looked for in the provider's list: another key may follow."""
        self._open.pop((question.path, question.body or b""), None)

    def ended(self, question: Question, is_first: bool, reply: "Reply | NotSent | Unknown") -> None:
        did_nothing = isinstance(reply, NotSent) or (isinstance(reply, Reply) and reply.status == HTTP_TURNED_AWAY)
        is_answered = isinstance(reply, Reply) and reply.status < HTTP_TURNED_AWAY
        if is_answered or (did_nothing and is_first):
            self._open.pop((question.path, question.body or b""), None)


class WorldTransport:
    """Stands in for `cloud.payments.transport.Transport`: `exchange` sleeps in virtual time."""

    def __init__(self, base_url: str, *, basic_auth: tuple[str, str], **_: Any) -> None:
        self.base_url = base_url
        self._auth = basic_auth
        self._world = here()

    def close(self) -> None: ...

    def exchange(self, question: Question) -> Reply | NotSent | Unknown:
        world = self._world
        world.nothing_is_open()
        if question.key is None:
            return self._carried(question)
        payments = _asks_back(question)
        if any(world.provider.parts_by_hand(payment_id) for payment_id in payments):
            world.keys.looked_up(question)  # a key says nothing where people gave a part back meanwhile
        is_first = world.keys.sent(question)
        for payment_id in payments:
            world.provider.asked_back.add(payment_id)
            world.promises.waits.money_goes_back(payment_id)
        reply = self._carried(question)
        world.keys.ended(question, is_first, reply)
        return reply

    def _carried(self, question: Question) -> Reply | NotSent | Unknown:
        world = self._world
        faults, what = world.faults, f"{question.verb} {question.path}"
        if faults.strikes("provider.unreachable"):
            world.scheduler.sleep(0.3)
            world.timeline.add("provider", f"not reached: {what}")
            return NotSent("ConnectionError (NewConnectionError)")
        is_change = question.verb == "POST"
        world.scheduler.sleep(world.call_latency())
        if before := self._suffer("before", what):
            return before
        if hung := faults.strikes("provider.hangs"):
            return self._hang(question, hung, is_change)
        reply = world.provider.serve(self._auth, question)
        if not is_change and reply.status == 200 and (stale := faults.strikes("provider.stale")):
            lag = faults.random(stale).choice((0.5, 3.0, 10.0, 30.0))
            reply = world.provider.as_it_was(question.path.rpartition("/")[2], lag) or reply
        world.timeline.add("provider", f"{what} → {reply.status} {_in_short(reply)}")
        slow = faults.strikes("provider.slow")
        takes_s = faults.random(slow).uniform(1.0, question.read_timeout_s) if slow else world.call_latency()
        world.scheduler.sleep(takes_s)
        if after := self._suffer("after", what):
            return after
        if faults.strikes("provider.answer_lost"):
            world.timeline.add("provider", f"answer lost: {what}")
            world.scheduler.sleep(question.read_timeout_s)
            return Unknown("ReadTimeout")
        return reply

    def _suffer(self, when: str, what: str) -> Reply | None:
        world = self._world
        for kind, make in _ODD_ANSWERS.items():
            if world.faults.strikes(f"provider.{kind}_{when}"):
                world.timeline.add("provider", f"{kind} {when} the act: {what}")
                return make(world.provider)
        return None

    def _hang(self, question: Question, name: str, is_change: bool) -> Unknown:
        """The client gives up; what it asked for may be done later, or never."""
        world, random = self._world, self._world.faults.random(name)
        late = random.choice((None, random.uniform(0.0, 30.0), random.uniform(36.0, 120.0)))
        world.timeline.add("provider", f"hangs: {question.verb} {question.path}")
        if late is not None and is_change:
            world.scheduler.after(late, lambda: self._do_late(question))
        world.scheduler.sleep(question.read_timeout_s)
        return Unknown("ReadTimeout")

    def _do_late(self, question: Question) -> None:
        reply = self._world.provider.serve(self._auth, question)
        self._world.timeline.add("provider", f"does late: {question.path} → {reply.status} {_in_short(reply)}")


def _asks_back(question: Question) -> set[str]:
    """The payment whose money is to go back by this call, if it is one of that kind."""
    match question.path.strip("/").split("/"):
        case ["payments", payment_id, "cancel"]:
            return {payment_id}
        case ["refunds"]:
            return {msgspec.json.decode(question.body or b"{}")["payment_id"]}
    return set()


def _in_short(reply: Reply) -> str:
    """Status and id of what an answer tells."""
    try:
        told = msgspec.json.decode(reply.body or b"null")
    except msgspec.DecodeError:
        return ""
    if not isinstance(told, dict):
        return ""
    return " ".join(str(told[key]) for key in ("status", "id", "code", "parameter") if key in told)
