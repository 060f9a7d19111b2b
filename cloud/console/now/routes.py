"""The first page, and the part of it that renews itself."""

import hashlib
from typing import Any

from flask import make_response, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.alerts.wording import Reader, text_of, title_of
from cloud.console.now import readers
from cloud.console.now.texts_en import EN
from cloud.console.now.texts_ru import RU
from cloud.console.shell.merchants import names_of
from cloud.console.shell.request_context import RequestContext
from cloud.console.shell.section import Nav, Section

section = Section("now", {"ru": RU, "en": EN}, Nav("now.show", Act.SEE_NOW, icon="now", order=10))
RENEWED_S = 5


@section.page("/now", Act.SEE_NOW)
def show(context: RequestContext) -> str:
    """Whether money and coffee flow, in five seconds."""
    part = _part(context)
    return context.render("now/show.html", part=part, seen=_seen(part), renewed_s=RENEWED_S)


@section.page("/now/part", Act.SEE_NOW)
def part(context: RequestContext) -> BaseResponse:
    """What renews itself; nothing (204) while it is what the page shows already."""
    html = _part(context)
    seen = _seen(html)
    if seen == request.args.get("seen"):
        return BaseResponse(status=204)
    return make_response(context.render("now/part.html", part=html, seen=seen, renewed_s=RENEWED_S))


def _part(context: RequestContext) -> str:
    acts = (Act.SEE_SUMS, Act.SEE_FLEET, Act.SEE_ORDERS, Act.SEE_INCIDENTS)
    sums, fleet, orders, alarms = (context.scope_of(act) for act in acts)
    # Nothing shows what the person may not see.
    values: dict[str, Any] = dict.fromkeys(("waiting", "fleet", "today", "taken"))
    with context.read() as session:
        if not sums.is_empty:
            values["waiting"] = readers.waiting(session, sums, context.now, context.cloud.clients.unreadable())
        if not fleet.is_empty:
            values["fleet"] = readers.not_selling(session, fleet)
        if not orders.is_empty:
            values["today"] = readers.today(session, orders, context.now)
            if sums == orders:  # else the sum would not be of the cups it stands beside
                values["taken"] = values["today"].kopecks
        incidents = readers.troubles(session, alarms, context.now)
        values["stands_at"] = readers.places(session, {one.subject for one in incidents})
        values["whose"] = names_of(session, alarms, {one.merchant_id for one in incidents})
    reader = Reader(context.texts.language, context.texts.zone, "")
    troubles = [(one, title_of(one, reader, context.now), text_of(one, reader, context.now)) for one in incidents]
    return context.render(
        "now/tiles.html", troubles=troubles, shown_subjects={one.subject for one in incidents},
        sees_troubles=not alarms.is_empty, **values,
    )  # fmt: skip


def _seen(html: str) -> str:
    return hashlib.sha256(html.encode()).hexdigest()[:16]
