"""Buyers' claims and the returns that wait for a second person: one page, and the acts on both."""

from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.console.claims.readers import ListedClaim, ListedRequest, claims_in, requests_in
from cloud.console.claims.texts_en import EN
from cloud.console.claims.texts_ru import RU
from cloud.console.orders.acting import asker, attempt, shown_in
from cloud.console.orders.facts import OrderSummary
from cloud.console.orders.sentence import sentence
from cloud.console.orders.verdict import verdict
from cloud.console.shell.paging import AFTER, Key, Listed
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Kind, Nav, Section
from cloud.database.transaction import Transaction
from cloud.fleet.zones import zone
from cloud.orders import claims, return_requests
from cloud.orders.claims import Claim, ClaimState
from cloud.orders.models import Order
from cloud.orders.return_requests import Asker, ReturnRequest
from cloud.orders.return_rules import StepUpNeeded, is_same_person


def _claim(session: Session, claim_id: str) -> Subject | None:
    found = session.get(Claim, int(claim_id)) if claim_id.isdecimal() and len(claim_id) < 10 else None
    return None if found is None else Subject("claim", claim_id, found.merchant_id, found.device_uuid)


def _request(session: Session, request_id: str) -> Subject | None:
    if not request_id.isdecimal() or len(request_id) > 9:
        return None
    asked = select(Order.merchant_id, Order.device_uuid).join(ReturnRequest, ReturnRequest.order_id == Order.id)
    found = session.execute(asked.where(ReturnRequest.id == int(request_id))).first()
    return None if found is None else Subject("return_request", request_id, found.merchant_id, found.device_uuid)


CLAIM = Kind("claim", "claim_id", _claim)
REQUEST = Kind("return_request", "request_id", _request)
REQUESTS_AFTER = "requests_after"
"""The part of an address that says where the page of requests begins; `AFTER` is the claims'."""
section = Section("claims", {"ru": RU, "en": EN}, Nav("claims.list", Act.SEE_CLAIMS, "claims", 40))


@dataclass(frozen=True)
class Shown:
    """One of the list with its order's truth in words."""

    of: Any
    order: OrderSummary
    says: str
    sums: bool
    may_decide: bool = False

    @property
    def claim(self) -> Any:
        return self.of.claim

    @property
    def request(self) -> Any:
        return self.of.request

    @property
    def words(self) -> str:
        return str(self.of.words)


@section.page("/claims", Act.SEE_CLAIMS)
def list(context: RequestContext) -> str:
    """What waits for a person's word."""
    wanted = request.args.get("state", "")
    state = ClaimState(wanted) if wanted in set(ClaimState) else ClaimState.OPEN
    with context.read() as session:
        found = claims_in(session, context.scope, state, Key.read(request.args.get(AFTER, "")))
        waiting = requests_in(session, context.scope, context.now, request.args.get(REQUESTS_AFTER, ""))
    shown = Listed([_shown(context, one) for one in found.items], found.next)
    requests = Listed([_shown(context, one) for one in waiting.items], waiting.next)
    states = [one.value for one in ClaimState]
    return context.render("claims/list.html", found=shown, requests=requests, states=states, chosen=state.value)


@section.act("/claims/<claim_id>/answer", Act.ANSWER_CLAIM, CLAIM)
def answer(context: RequestContext, claim_id: str) -> BaseResponse:
    """Answer the buyer, and close the claim if asked to."""
    resolves = request.form.get("then") == "resolved"
    words, shown = request.form.get("answer", ""), shown_in(context, request.form.get("said", ""))

    def work(tx: Transaction) -> Done[str]:
        by = context.person.name or context.person.email
        claim = claims.answer(tx, int(claim_id), by, words, context.now, resolves=resolves, shown=shown)
        return Done(claim.order_id, None, {"order": claim.order_id, "state": claim.state})

    order_id = None if shown is None else attempt(context, Act.ANSWER_CLAIM, "", work)
    if order_id is not None:
        context.say(f"claims.done.{'resolved' if resolves else 'answered'}")
    else:
        with context.read() as session:
            order_id = session.get_one(Claim, int(claim_id)).order_id
    return context.go("orders.show", order_id=order_id)


@section.act("/claims/requests/<request_id>/approve", Act.APPROVE_RETURN, REQUEST)
def approve(context: RequestContext, request_id: str) -> BaseResponse:
    """A second person says yes; where there is only one, that one after a step-up."""
    asked, by = _asked(context, int(request_id))

    def work(tx: Transaction) -> Done[ReturnRequest]:
        if is_same_person(asked.requested_by, by.name) and by.is_alone:
            if not by.stepped_up:
                raise StepUpNeeded
            decided = return_requests.approve_alone(tx, asked.id, by, context.now)
        else:
            decided = return_requests.approve(tx, asked.id, by.name, context.now)
        return Done(decided, {"state": asked.state}, _entry_of(decided))

    return _decided(context, asked, attempt(context, Act.APPROVE_RETURN, "", work), "approved")


@section.act("/claims/requests/<request_id>/decline", Act.REQUEST_RETURN, REQUEST)
def decline(context: RequestContext, request_id: str) -> BaseResponse:
    """Decline it, as a person who may approve; or take one's own request back."""
    asked, by = _asked(context, int(request_id))
    words = request.form.get("words", "")

    def work(tx: Transaction) -> Done[ReturnRequest]:
        if not is_same_person(asked.requested_by, by.name) and not context.may(Act.APPROVE_RETURN):
            raise return_requests.NotAllowed("second_person", "who may approve declines")
        decided = return_requests.decline(tx, asked.id, by.name, words, context.now)
        return Done(decided, {"state": asked.state}, _entry_of(decided))

    return _decided(context, asked, attempt(context, Act.REQUEST_RETURN, words, work), "declined")


def _asked(context: RequestContext, number: int) -> tuple[ReturnRequest, Asker]:
    with context.read() as session:
        return session.get_one(ReturnRequest, number), asker(context, session, context.about().merchant_id)


def _entry_of(decided: ReturnRequest) -> dict[str, object]:
    """What the journal keeps of it."""
    return {"order": decided.order_id, "state": decided.state, "kopecks": decided.kopecks}


def _decided(context: RequestContext, asked: ReturnRequest, decided: ReturnRequest | None, how: str) -> BaseResponse:
    if decided is not None:
        context.say(f"claims.done.{how}", price=context.texts.price(decided.kopecks))
    return context.go("orders.show", order_id=asked.order_id)


def _shown(context: RequestContext, one: ListedClaim | ListedRequest) -> Shown:
    order = one.order
    sums = context.person.may(Act.SEE_SUMS, order.merchant_id, order.device_uuid)
    may_decide = context.person.may(Act.APPROVE_RETURN, order.merchant_id, order.device_uuid)
    says = sentence(context.texts, verdict(order.facts), zone(order.zone), sums=sums)
    return Shown(one, order, says, sums, may_decide)
