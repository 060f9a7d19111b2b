"""GET and POST /v1/order-claim: the buyer says what is wrong with an order, and reads what support answers.

Nobody logs in: the phone that scanned the order may speak of it (`capability.py`). Works without scripts.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from flask import make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.assets import asset, style
from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.headers import is_own
from cloud.buyer.limits import RateLimit
from cloud.buyer.order_view import OrderView
from cloud.buyer.page_state import money_says
from cloud.buyer.services import Services
from cloud.buyer.texts import Texts
from cloud.orders import claims
from cloud.orders.claims import MESSAGES_EACH, TEXT_LIMIT, ClaimKind, ClaimState, NotClaimable
from cloud.orders.models import Order

log = logging.getLogger("cloud.buyer")

BURST, PER_S = 10, 1 / 60
"""Words from one address: phones of a whole office stand behind it."""
TOO_MANY = "too_many"


@dataclass(frozen=True)
class ShownMessage:
    """One message of the conversation, as the page shows it."""

    is_ours: bool
    words: str
    at: datetime


@dataclass(frozen=True)
class Conversation:
    """All that was said of an order, and how its last claim stands."""

    kind: str = ""
    state: str = ""
    messages: tuple[ShownMessage, ...] = ()
    may_say: bool = True

    @property
    def is_open(self) -> bool:
        return self.state in {ClaimState.OPEN, ClaimState.ANSWERED}


class ClaimPage:
    """The two views."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = RateLimit(BURST, PER_S)

    def show(self) -> BaseResponse:
        """The form, or the conversation so far."""
        return self._page(self._mine(request.args.get("order_id", "")))

    def say(self) -> BaseResponse:
        """Keep what the buyer says, and show the page anew."""
        if not is_own(request, self._services.public_url):
            raise Trouble(403, "foreign")
        form, now = request.form, self._services.clock()
        view = self._mine(form.get("order_id", ""))
        if not self._limit.allows(self._services.visitor(), now):
            raise Trouble(429, TOO_MANY, view.device, view.order_id)
        words, kind = form.get("words", ""), form.get("kind", "")
        known = ClaimKind(kind) if kind in set(ClaimKind) else None
        try:
            self._services.database.transact(claims.say, view.order_id, known, words, asked_language(), now)
        except NotClaimable as refused:
            return make_response(self._page(view, refused.code, words, kind), 429 if refused.code == TOO_MANY else 400)
        log.info("a claim: %s", kind or "more words", extra={"order_id": view.order_id})
        where = url_for("buyer.claim", order_id=view.order_id, lang=request.args.get("lang"))
        return redirect(where, 303)

    def _mine(self, order_id: str) -> OrderView:
        """The order, for the phone that scanned it. Raises `Trouble` for others, and of what nobody began to pay."""
        if not order_id:
            raise Trouble(400, "bad_scan")
        view = self._services.order(order_id)
        with self._services.database.read() as session:
            order = session.get_one(Order, order_id)
        if not self._services.may_speak(order):
            raise Trouble(403, "claim_not_yours", view.device, order_id)
        if not view.was_begun:
            raise Trouble(409, "claim_unpaid", view.device, order_id)
        return view

    def _page(self, view: OrderView, problem: str = "", words: str = "", kind: str = "") -> BaseResponse:
        texts, now = Texts(asked_language(), view.device.zone), self._services.clock()
        money_key, money_left = money_says(view, now)
        back = view.money_back
        html = render_template(
            "buyer/claim.html", t=texts, asset=asset, style=style, device=view.device, order=view,
            talk=self._conversation(view.order_id), kinds=list(ClaimKind), problem=problem, words=words, kind=kind,
            text_limit=TEXT_LIMIT, at=lambda moment: f"{texts.date(moment)}, {texts.time(moment)}",
            money_key=money_key, other_language="en" if texts.language == "ru" else "ru",
            money={
                "amount": texts.price(back.amount if back else view.price),
                "how": texts(f"how.{view.method}" if texts.has(f"how.{view.method}") else "how.other"),
                "date": texts.date(back.expected_by) if back and back.expected_by else "",
                "left": texts.left(money_left),
            },
        )  # fmt: skip
        return make_response(html)

    def _conversation(self, order_id: str) -> Conversation:
        with self._services.database.read() as session:
            found = claims.claims_of(session, order_id)
            messages = [message for claim in found for message in claims.messages_of(session, claim.id)]
        if not found:
            return Conversation()
        last = found[-1]
        shown = tuple(ShownMessage(message.by != "", message.words, message.at) for message in messages)
        his = sum(message.claim_id == last.id and message.by == "" for message in messages)
        if last.state == ClaimState.RESOLVED:
            return Conversation(last.kind, last.state, shown, len(found) < claims.CLAIMS_EACH)
        return Conversation(last.kind, last.state, shown, his < MESSAGES_EACH)


def with_claim(services: Services, view: OrderView) -> OrderView:
    """Return the order with how its last claim stands; as it is when there is none, or it is another phone's order."""
    if not view.was_begun:
        return view
    with services.database.read() as session:
        if not services.may_speak(session.get_one(Order, view.order_id)):
            return view
        found = claims.claims_of(session, view.order_id)
    return replace(view, claim=found[-1].state) if found else view
