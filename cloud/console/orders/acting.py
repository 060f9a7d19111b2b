"""The acts of the order's page: each by `RequestContext.perform`, each answered in words, also when it is refused."""

import re
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.acts import Act, Role, grants
from cloud.access.models import Membership, User
from cloud.console.shell.request_context import Done, NeedsConfirmation, RequestContext
from cloud.database.transaction import Transaction
from cloud.orders import claims, operator_actions, pour_again, return_requests
from cloud.orders.making import NotPourable
from cloud.orders.models import Order
from cloud.orders.operator_actions import NotReturnable, NotWaiting, WrongSum
from cloud.orders.return_requests import Asker, NotAllowed, ReturnedMeanwhile, ReturnRequest, Wanted
from cloud.orders.return_rules import RequestState, StepUpNeeded

T = TypeVar("T")
_ROUBLES = re.compile(r"(\d{1,6})(?:[.,](\d{1,2}))?")


def roubles_in(text: str) -> int | None:
    """Kopecks of what was typed; None for nothing, which means all of it; 0 for what is no sum."""
    typed = text.replace("\u00a0", "").replace("\u202f", "").replace(" ", "").strip("₽")
    if not typed:
        return None
    found = _ROUBLES.fullmatch(typed)
    return 0 if found is None else int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


def shown_in(context: RequestContext, text: str) -> int | None:
    """The number that the form's page had shown; None, and told so, for a page that is too old to have shown one."""
    if text.isdecimal() and len(text) < 10:
        return int(text)
    context.say("orders.bad.stale", good=False)
    return None


def perform_return(context: RequestContext, order_id: str, wanted: Wanted) -> None:
    """Return money, or ask for a second person."""
    words, reason = wanted.words, wanted.reason

    def work(tx: Transaction) -> Done[ReturnRequest]:
        before = _money(tx.session, order_id)
        by = asker(context, tx.session, context.about().merchant_id)
        request = return_requests.ask(tx, order_id, wanted, by, context.cloud.limits, context.now)
        after = _money(tx.session, order_id) | {"request": request.id, "state": request.state}
        return Done(request, before, after | {"kopecks": request.kopecks})

    request = attempt(context, Act.REQUEST_RETURN, f"{reason.value}: {words}" if words else reason.value, work)
    if request is not None:
        key = "orders.done.requested" if request.state == RequestState.REQUESTED else "orders.done.returned"
        context.say(key, price=context.texts.price(request.kopecks))


def perform_keep(context: RequestContext, order_id: str, words: str) -> None:
    """Keep the money: a person has made sure that the drink was poured."""

    def work(tx: Transaction) -> Done[bool]:
        before = _money(tx.session, order_id)
        operator_actions.keep_money(tx, order_id, context.person.email, words, context.now)
        return Done(True, before, _money(tx.session, order_id))

    if not words.strip():
        context.say("orders.bad.words_needed", good=False)
    elif attempt(context, Act.KEEP_MONEY, words, work):
        context.say("orders.done.kept")


def perform_pour(context: RequestContext, order_id: str, words: str, shown: int) -> str:
    """Pour again; the order to show next."""

    def work(tx: Transaction) -> Done[str]:
        poured = pour_again.pour_again(
            tx, order_id, context.person.email, words, context.cloud.rules, context.now, shown
        )
        return Done(poured, None, {"order": poured})

    poured = attempt(context, Act.POUR_AGAIN, words, work)
    if poured is not None:
        context.say("orders.done.poured")
    return poured or order_id


def perform_resolve(context: RequestContext, order_id: str, words: str, shown: int) -> None:
    """Mark as resolved."""

    def work(tx: Transaction) -> Done[bool]:
        claims.mark_resolved(tx, order_id, context.person.email, words, context.now, shown)
        return Done(True, None, {"resolved": True})

    if attempt(context, Act.RESOLVE, words, work):
        context.say("orders.done.resolved")


def perform_note(context: RequestContext, order_id: str, words: str) -> None:
    """Keep a note."""

    def work(tx: Transaction) -> Done[bool]:
        operator_actions.note(tx, order_id, context.person.email, words, context.now)
        return Done(True, None, {"words": words[:200]})

    if not words.strip():
        return
    if attempt(context, Act.NOTE_ORDER, "", work):
        context.say("orders.done.noted")


def attempt(context: RequestContext, act: Act, why: str, work: Callable[[Transaction], Done[T]]) -> T | None:
    """What the act gave; None when it was refused, which the next page tells. Raises `NeedsConfirmation`."""
    try:
        return context.perform(act, context.about(), why, work)
    except StepUpNeeded:
        raise NeedsConfirmation from None
    except ReturnedMeanwhile as refused:
        key = "orders.bad.returned_meanwhile" if refused.left else "orders.bad.returned_all"
        price = context.texts.price
        context.say(key, good=False, returned=price(refused.returned), left=price(refused.left))
    except WrongSum as refused:
        context.say(f"orders.bad.{refused.code}", good=False, price=context.texts.price(refused.left))
    except NotReturnable:
        context.say("orders.bad.not_returnable", good=False)
    except NotWaiting:
        context.say("orders.bad.not_waiting", good=False)
    except (NotAllowed, claims.NotClaimable) as refused:
        context.say(f"orders.bad.{refused.code}", good=False)
    except NotPourable as refused:
        context.say(f"orders.bad.{refused}", good=False)
    return None


def asker(context: RequestContext, session: Session, merchant_id: str) -> Asker:
    """The person who asks, and whether anybody else of this merchant could approve."""
    person = context.person
    can_approve = person.may(Act.APPROVE_RETURN, merchant_id)
    is_alone = can_approve and not _others(session, merchant_id, person.user_id)
    return Asker(person.email, is_alone, person.has_just_confirmed(context.now))


def _others(session: Session, merchant_id: str, user_id: str) -> bool:
    approving = [role.value for role in Role if Act.APPROVE_RETURN in grants(role)]
    found = (
        select(Membership.id)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.merchant_id == merchant_id, Membership.user_id != user_id, Membership.role.in_(approving),
            Membership.machines.is_(None), User.disabled_at.is_(None),
        )
    )  # fmt: skip
    return session.scalar(found.limit(1)) is not None


def _money(session: Session, order_id: str) -> dict[str, object]:
    order = session.execute(select(Order.status, Order.given_back).where(Order.id == order_id)).one()
    return {"status": order.status, "given_back": order.given_back}
