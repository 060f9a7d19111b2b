"""Machines get a name of their own at the broker, by a code for a person to carry, and lose it."""

import io

import segno
from flask import request
from markupsafe import Markup
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import CHANGED
from cloud.console.enrolment.readers import Machine, machine, machines_in
from cloud.console.enrolment.texts_en import EN
from cloud.console.enrolment.texts_ru import RU
from cloud.console.shell.kinds import DEVICE
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.courier.enrolment_route import codes_of
from cloud.database.transaction import Transaction
from cloud.fleet import enrolment
from cloud.fleet.enrolment import ByHand, CannotEnrol, Revoked

_SAID = {
    Revoked.OUT: "enrolment.is_revoked", Revoked.BEFORE: "enrolment.had_none", Revoked.BY_HAND: "enrolment.by_hand",
}  # fmt: skip
section = Section("enrolment", {"ru": RU, "en": EN}, Nav("enrolment.list", Act.ENROL, "enrolment", 80))


@section.page("/enrolment", Act.ENROL)
def list(context: RequestContext) -> str:
    """Every machine with an agent, and how far it has come."""
    with context.read() as session:
        found = machines_in(session, context.scope, request.args.get("after", ""), context.now)
    return context.render("enrolment/list.html", found=found)


@section.page("/enrolment/<device_uuid>", Act.ENROL, DEVICE)
def show(context: RequestContext, device_uuid: str) -> str:
    """One machine; the page follows it until it sells."""
    return context.render("enrolment/show.html", machine=_machine(context, device_uuid), code="",
                          may_revoke=context.may(Act.REVOKE_DEVICE),
                          is_by_hand=not context.cloud.settings.broker_rights)  # fmt: skip


@section.act("/enrolment/<device_uuid>", Act.ENROL, DEVICE)
def begin(context: RequestContext, device_uuid: str) -> str | BaseResponse:
    """A code, shown this once."""
    settings = context.cloud.settings
    codes = codes_of(settings)

    def work(tx: Transaction) -> Done[str]:
        return Done(codes.begin(tx, device_uuid, context.now), None, {"code": CHANGED})

    try:
        code = enrolment.spaced(context.perform(Act.ENROL, context.about(), "", work))
    except CannotEnrol as error:
        context.say("enrolment.by_hand" if isinstance(error, ByHand) else "enrolment.cannot", good=False)
        return context.go("enrolment.list")
    command = enrolment.command(settings.public_url, code)
    return context.render("enrolment/show.html", machine=_machine(context, device_uuid), code=code, command=command,
                          picture=_picture(command), may_revoke=context.may(Act.REVOKE_DEVICE))  # fmt: skip


@section.act("/enrolment/<device_uuid>/revoke", Act.REVOKE_DEVICE, DEVICE)
def revoke(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Out at once, until it is enrolled anew."""
    codes = codes_of(context.cloud.settings)

    def work(tx: Transaction) -> Done[Revoked]:
        end = codes.revoke(tx, device_uuid, context.now)
        return Done(end, None, {"identity": "revoked" if end is Revoked.OUT else "none"})

    end = context.perform(Act.REVOKE_DEVICE, context.about(), request.form.get("why", ""), work)
    context.say(_SAID[end], good=end is Revoked.OUT)
    return context.go("enrolment.list")


def _machine(context: RequestContext, device_uuid: str) -> Machine:
    with context.read() as session:
        found = machine(session, context.scope, device_uuid, context.now)
    if found is None:
        raise NotFound
    return found


def _picture(words: str) -> Markup:
    drawn = io.BytesIO()
    segno.make(words, error="m").save(
        drawn, kind="svg", xmldecl=False, svgns=False, nl=False, border=2, omitsize=True, dark="#000", light="#fff"
    )
    return Markup(drawn.getvalue().decode())  # noqa: S704  # segno draws it, nobody writes into it
