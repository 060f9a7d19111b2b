"""Pages and acts about orders: find one, see its truth, act on it."""

from flask import Response, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.signing import Signer
from cloud.console.orders import evidence as files
from cloud.console.orders import query as queries
from cloud.console.orders.acting import (
    perform_keep,
    perform_note,
    perform_pour,
    perform_resolve,
    perform_return,
    roubles_in,
    shown_in,
)
from cloud.console.orders.rows import Chip, Filters, listed, named, numbered, rows_of
from cloud.console.orders.sentence import sentence
from cloud.console.orders.texts_en import EN
from cloud.console.orders.texts_ru import RU
from cloud.console.orders.verdict import verdict
from cloud.console.orders.whole import WholeOrder, whole_order
from cloud.console.settings.forms import roubles
from cloud.console.shell.kinds import ORDER
from cloud.console.shell.machines import machines_in, zones_of_all
from cloud.console.shell.paging import AFTER, Key
from cloud.console.shell.request_context import RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.orders import archive
from cloud.orders.pour_again import drinks_so_far, why_not_again
from cloud.orders.return_requests import Wanted
from cloud.orders.return_rules import ReturnReason
from cloud.orders.states import FINAL, Status
from cloud.orders.waiting_return import return_waits

section = Section("orders", {"ru": RU, "en": EN}, Nav("orders.list", Act.SEE_ORDERS, "orders", 30))


@section.page("/orders", Act.SEE_ORDERS)
def list(context: RequestContext) -> str | BaseResponse:
    """Orders, newest first; one field finds any of them. Exactly one found is shown at once."""
    asked = request.args
    text = asked.get("q", "").strip()[: queries.LONGEST]
    with context.read() as session:
        query = queries.parse(text, context.now, zones_of_all(session) if text else ())
    if query.no_day:
        context.say("shell.no_day", good=False, day=query.no_day)
    chip = Chip(asked["show"]) if asked.get("show", "") in set(Chip) else (Chip.ALL if text else Chip.PAID)
    filters = Filters(chip, query, asked.get("machine", "").strip()[:64])
    with context.read() as session:
        names = named(session, context.scope, query.name) or numbered(session, context.scope, query.number)
        if len(names) == 1:
            return context.go("orders.show", order_id=names[0])
        after = Key.read(asked.get(AFTER, ""))
        found = (
            rows_of(session, context.scope, names)
            if names
            else listed(session, context.scope, filters, after, context.now)
        )
        machines = machines_in(session, context.scope)
    sums = context.person.scope(Act.SEE_SUMS)
    return context.render("orders/list.html", found=found, filters=filters, q=text, chips=[*Chip], machines=machines,
                          sums=sums)  # fmt: skip


@section.page("/orders/<order_id:order_id>", Act.SEE_ORDERS, ORDER)
def show(context: RequestContext, order_id: str) -> str:
    """One order: the verdict, the acts, the stream."""
    whole = _read(context, order_id)
    sums = context.may(Act.SEE_SUMS)
    return context.render(
        "orders/show.html", whole=whole, order=whole.order, sums=sums, verdict=verdict(whole.facts),
        limits=context.cloud.limits,
        says=sentence(context.texts, verdict(whole.facts), sums=sums),
        reasons=[(one.value, context.texts(f"orders.reason.{one.value}")) for one in ReturnReason],
        return_waits=return_waits(whole.order), can_pour=why_not_again(whole.order) == "",
        drinks=drinks_so_far(whole.order, len(whole.again)),
        is_moving=_is_moving(whole), zone=context.texts.zone.key, roubles=roubles,
    )  # fmt: skip


@section.page("/orders/<order_id:order_id>/evidence.json", Act.SEE_SUMS, ORDER)
def evidence(context: RequestContext, order_id: str) -> Response:
    """The same as a signed file."""
    whole = _read(context, order_id)
    settings = context.cloud.settings
    told: dict[str, str] = {context.texts.language: sentence(context.texts, verdict(whole.facts))}
    document = files.document_of(whole, told, context.now)
    text = files.sealed(document, Signer(settings.secret_key, settings.old_secret_keys))
    response = Response(text, mimetype="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=evidence.json"
    return response


@section.act("/orders/<order_id:order_id>/return", Act.REQUEST_RETURN, ORDER)
def give_back(context: RequestContext, order_id: str) -> BaseResponse:
    """Return money, or ask a second person to."""
    form = request.form
    kopecks = roubles_in(form.get("roubles", ""))
    reason = form.get("reason", "")
    if kopecks == 0 or reason not in set(ReturnReason):
        context.say("orders.bad.sum", good=False)
    elif (left := shown_in(context, form.get("left", ""))) is not None:
        perform_return(context, order_id, Wanted(ReturnReason(reason), form.get("words", ""), kopecks, left))
    return context.go("orders.show", order_id=order_id)


@section.act("/orders/<order_id:order_id>/keep", Act.KEEP_MONEY, ORDER)
def keep(context: RequestContext, order_id: str) -> BaseResponse:
    """The drink was poured after all."""
    perform_keep(context, order_id, request.form.get("keep_words", ""))
    return context.go("orders.show", order_id=order_id)


@section.act("/orders/<order_id:order_id>/pour", Act.POUR_AGAIN, ORDER)
def pour(context: RequestContext, order_id: str) -> BaseResponse:
    """Pour the drink once more, free of charge."""
    form, poured = request.form, order_id
    if (drinks := shown_in(context, form.get("drinks", ""))) is not None:
        poured = perform_pour(context, order_id, form.get("pour_words", ""), drinks)
    return context.go("orders.show", order_id=poured)


@section.act("/orders/<order_id:order_id>/resolve", Act.RESOLVE, ORDER)
def resolve(context: RequestContext, order_id: str) -> BaseResponse:
    """The order's trouble is dealt with."""
    if (said := shown_in(context, request.form.get("said", ""))) is not None:
        perform_resolve(context, order_id, request.form.get("resolve_words", ""), said)
    return context.go("orders.show", order_id=order_id)


@section.act("/orders/<order_id:order_id>/note", Act.NOTE_ORDER, ORDER)
def note(context: RequestContext, order_id: str) -> BaseResponse:
    """Words that stay with the order."""
    perform_note(context, order_id, request.form.get("note_words", ""))
    return context.go("orders.show", order_id=order_id)


def _read(context: RequestContext, order_id: str) -> WholeOrder:
    with context.read() as session:
        whole = whole_order(session, context.scope, order_id, context.now)
    if whole is None:
        context.database.transact(archive.bring_back, [order_id], context.now)
        with context.read() as session:  # somebody else may have brought it back meanwhile
            whole = whole_order(session, context.scope, order_id, context.now)
    if whole is None:
        raise NotFound
    return whole


def _is_moving(whole: WholeOrder) -> bool:
    """Whether the page looks again by itself."""
    open_request = whole.open_request is not None or any(one.is_open for one in whole.facts.returning.values())
    return open_request or Status(whole.order.status) not in FINAL
