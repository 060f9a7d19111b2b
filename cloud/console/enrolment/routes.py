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
from cloud.console.shell.desk import Desk, Done
from cloud.console.shell.kinds import DEVICE
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
def list(desk: Desk) -> str:
    """Every machine with an agent, and how far it has come."""
    with desk.read() as session:
        found = machines_in(session, desk.scope, request.args.get("after", ""), desk.now)
    return desk.render("enrolment/list.html", found=found)


@section.page("/enrolment/<device_uuid>", Act.ENROL, DEVICE)
def show(desk: Desk, device_uuid: str) -> str:
    """One machine; the page follows it until it sells."""
    return desk.render("enrolment/show.html", machine=_machine(desk, device_uuid), code="",
                       may_revoke=desk.may(Act.REVOKE_DEVICE),
                       is_by_hand=not desk.cloud.settings.broker_rights)  # fmt: skip


@section.act("/enrolment/<device_uuid>", Act.ENROL, DEVICE)
def begin(desk: Desk, device_uuid: str) -> str | BaseResponse:
    """A code, shown this once."""
    settings = desk.cloud.settings
    codes = codes_of(settings)

    def work(tx: Transaction) -> Done[str]:
        return Done(codes.begin(tx, device_uuid, desk.now), None, {"code": CHANGED})

    try:
        code = enrolment.spaced(desk.perform(Act.ENROL, desk.about(), "", work))
    except CannotEnrol as error:
        desk.say("enrolment.by_hand" if isinstance(error, ByHand) else "enrolment.cannot", good=False)
        return desk.go("enrolment.list")
    command = enrolment.command(settings.public_url, code)
    return desk.render("enrolment/show.html", machine=_machine(desk, device_uuid), code=code, command=command,
                       picture=_picture(command), may_revoke=desk.may(Act.REVOKE_DEVICE))  # fmt: skip


@section.act("/enrolment/<device_uuid>/revoke", Act.REVOKE_DEVICE, DEVICE)
def revoke(desk: Desk, device_uuid: str) -> BaseResponse:
    """Out at once, until it is enrolled anew."""
    codes = codes_of(desk.cloud.settings)

    def work(tx: Transaction) -> Done[Revoked]:
        end = codes.revoke(tx, device_uuid, desk.now)
        return Done(end, None, {"identity": "revoked" if end is Revoked.OUT else "none"})

    end = desk.perform(Act.REVOKE_DEVICE, desk.about(), request.form.get("why", ""), work)
    desk.say(_SAID[end], good=end is Revoked.OUT)
    return desk.go("enrolment.list")


def _machine(desk: Desk, device_uuid: str) -> Machine:
    with desk.read() as session:
        found = machine(session, desk.scope, device_uuid, desk.now)
    if found is None:
        raise NotFound
    return found


def _picture(words: str) -> Markup:
    drawn = io.BytesIO()
    segno.make(words, error="m").save(
        drawn, kind="svg", xmldecl=False, svgns=False, nl=False, border=2, omitsize=True, dark="#000", light="#fff"
    )
    return Markup(drawn.getvalue().decode())  # noqa: S704  # segno draws it, nobody writes into it
