"""Pages of machines: the list, one machine, and its living part."""

from functools import partial

from flask import request

from cloud.access.acts import Act
from cloud.console.machines.agent_words import code_in_our_words, in_our_words
from cloud.console.machines.one_machine import look_of, read_machine
from cloud.console.machines.reading import read_fleet
from cloud.console.machines.texts_en import EN
from cloud.console.machines.texts_ru import RU
from cloud.console.shell.kinds import DEVICE
from cloud.console.shell.paging import Key
from cloud.console.shell.request_context import RequestContext, address
from cloud.console.shell.section import Nav, Section
from cloud.fleet.zones import zone

section = Section("machines", {"ru": RU, "en": EN}, Nav("machines.list", Act.SEE_FLEET, icon="machines", order=20))


@section.page("/machines", Act.SEE_FLEET)
def list(context: RequestContext) -> str:
    """All machines, the worst first."""
    wanted, state = request.args.get("q", "").strip()[:100], request.args.get("state", "")
    with context.read() as session:
        found = read_fleet(session, context.scope, wanted, state, request.args.get("after", ""), context.now)
    return context.render("machines/fleet.html", fleet=found, q=wanted, state=state, zone=zone)


@section.page("/machines/<device_uuid>", Act.SEE_FLEET, DEVICE)
def show(context: RequestContext, device_uuid: str) -> str:
    """One machine."""
    return _page(context, device_uuid, "machines/show.html")


@section.page("/machines/<device_uuid>/now", Act.SEE_FLEET, DEVICE)
def living(context: RequestContext, device_uuid: str) -> str:
    """What of it changes while one looks."""
    return _page(context, device_uuid, "machines/living.html")


def _page(context: RequestContext, device_uuid: str, template: str) -> str:
    with context.read() as session:
        machine = read_machine(session, device_uuid, Key.read(request.args.get("after", "")), context.now)
    there = zone(machine.device.zone)

    def event_words(what: str) -> str:
        key = f"machines.event.{what}"
        return str(context.texts(key if key in EN else "machines.event.other"))

    return context.render(
        template, m=machine, there=there, older=machine.older, look_of=look_of, event_words=event_words,
        order_at=lambda order_id: address("orders.show", order_id=order_id),
        in_our_words=partial(in_our_words, context.texts),
        code_in_our_words=partial(code_in_our_words, context.texts),
    )  # fmt: skip
