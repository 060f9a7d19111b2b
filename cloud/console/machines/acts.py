"""What a person does to a machine: jobs for its agent, closing and opening, notes. Each by `RequestContext.perform`."""

import uuid
from collections.abc import Callable

from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.console.machines.routes import section
from cloud.console.shell.kinds import DEVICE
from cloud.console.shell.request_context import Done, RequestContext
from cloud.courier import device_jobs
from cloud.courier.device_jobs import Kind, NotNow, Wanted
from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.closing import NoSuchThing
from cloud.fleet.hand_edits import drink_id
from protocol.fields import SettingValue
from protocol.reasons import RinseProgram

__all__ = ["section"]
MOST_SETTINGS = 64


@section.act("/machines/<device_uuid>/rinse", Act.RINSE, DEVICE)
def rinse(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Rinse or clean."""
    program = RinseProgram.CLEAN if request.form.get("program") == RinseProgram.CLEAN else RinseProgram.RINSE
    return _job(context, device_uuid, Act.RINSE, Wanted(Kind.RINSE, program=program))


@section.act("/machines/<device_uuid>/restart", Act.RESTART, DEVICE)
def restart(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Start the agent anew."""
    return _job(context, device_uuid, Act.RESTART, Wanted(Kind.RESTART))


@section.act("/machines/<device_uuid>/test-cup", Act.TEST_CUP, DEVICE)
def test_cup(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Pour one for nothing."""
    drink_no, _, size = request.form.get("drink", "").rpartition(":")
    if size not in {"0", "1", "2"}:
        raise BadRequest
    return _job(context, device_uuid, Act.TEST_CUP, Wanted(Kind.TEST_CUP, drink_no=drink_no, size=int(size)))


@section.act("/machines/<device_uuid>/settings", Act.MACHINE_SETTINGS, DEVICE)
def settings(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Values in place of the profile's."""
    values = read_settings(request.form.get("values", ""))
    if values is None:
        context.say("machines.bad_settings", good=False)
        return context.go("machines.show", device_uuid=device_uuid)
    return _job(context, device_uuid, Act.MACHINE_SETTINGS, Wanted(Kind.SETTINGS, values=values))


@section.act("/machines/<device_uuid>/resume", Act.RESUME, DEVICE)
def resume(context: RequestContext, device_uuid: str) -> BaseResponse:
    """A person has looked: it sells again."""
    loss = request.form.get("accept_loss") == "yes"

    def work(tx: Transaction, job_id: str) -> Done[str]:
        who = context.author.name
        resumed = device_jobs.let_sell(tx, device_uuid, who, job_id, context.now, accept_loss=loss)
        if not resumed.asks_agent:
            return Done("machines.was_opened")
        return Done("machines.asked", after={"job": job_id, "accept_loss": loss})

    return _asked(context, device_uuid, Act.RESUME, Kind.RESUME, work)


@section.act("/machines/<device_uuid>/close", Act.CLOSE_AND_OPEN, DEVICE)
def close(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Sell nothing more of the machine, or of one drink."""
    drink_no, why = request.form.get("drink", ""), request.form.get("why", "").strip()
    if not why:
        context.say("machines.why_missing", good=False)
        return context.go("machines.show", device_uuid=device_uuid)

    def work(tx: Transaction) -> Done[bool]:
        before = closing.told(tx, device_uuid, drink_no)
        is_new = closing.close(tx, device_uuid, drink_no, context.author.name, why, context.now)
        return Done(is_new, before, closing.told(tx, device_uuid, drink_no))

    return _moved(context, device_uuid, drink_no, why, work, "machines.was_closed")


@section.act("/machines/<device_uuid>/open", Act.CLOSE_AND_OPEN, DEVICE)
def open_again(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Sell it again."""
    drink_no = request.form.get("drink", "")

    def work(tx: Transaction) -> Done[bool]:
        before = closing.told(tx, device_uuid, drink_no)
        was = closing.open_again(tx, device_uuid, drink_no, context.author.name, context.now)
        return Done(was, before, closing.told(tx, device_uuid, drink_no))

    return _moved(context, device_uuid, drink_no, "", work, "machines.was_opened")


@section.act("/machines/<device_uuid>/note", Act.NOTE_MACHINE, DEVICE)
def note(context: RequestContext, device_uuid: str) -> BaseResponse:
    """A line for colleagues; it stands in the journal."""
    words = request.form.get("note", "").strip()[:500]
    if words:
        context.perform(Act.NOTE_MACHINE, context.about(), words, lambda _: Done(None))
    return context.go("machines.show", device_uuid=device_uuid)


def read_settings(text: str) -> dict[str, SettingValue] | None:
    """Lines `timers.max_brew = 240`; None when one is no such line."""
    values: dict[str, SettingValue] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, is_given, value = (part.strip() for part in line.partition("="))
        if not is_given or not name or len(name) > 64 or len(values) >= MOST_SETTINGS:
            return None
        values[name] = _value(value)
    return values


def _value(text: str) -> SettingValue:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text[:500])


def _job(context: RequestContext, device_uuid: str, act: Act, wanted: Wanted) -> BaseResponse:
    def work(tx: Transaction, job_id: str) -> Done[str]:
        device_jobs.ask(tx, device_uuid, wanted, context.author.name, job_id, context.now)
        return Done("machines.asked", after={"job": job_id, **wanted.facts()})

    return _asked(context, device_uuid, act, wanted.kind, work)


def _asked(
    context: RequestContext, device_uuid: str, act: Act, kind: Kind, work: Callable[[Transaction, str], Done[str]]
) -> BaseResponse:
    """`work` gives what is said of it."""
    job_id = device_jobs.new_id(kind, uuid.uuid4().hex)
    try:
        said = context.perform(act, context.about(), request.form.get("why", ""), lambda tx: work(tx, job_id))
    except NotNow as refused:
        context.say(f"machines.not_now.{refused.code}", good=False)
    else:
        context.say(said)
    return context.go("machines.show", device_uuid=device_uuid)


def _moved(
    context: RequestContext,
    device_uuid: str,
    drink_no: str,
    why: str,
    work: Callable[[Transaction], Done[bool]],
    said: str,
) -> BaseResponse:
    machine = context.about()
    drink = Subject("drink", drink_id(device_uuid, drink_no), machine.merchant_id, device_uuid)
    try:
        context.perform(Act.CLOSE_AND_OPEN, drink if drink_no else machine, why, work)
    except NoSuchThing:
        raise BadRequest from None
    context.say(said)
    return context.go("machines.show", device_uuid=device_uuid)
