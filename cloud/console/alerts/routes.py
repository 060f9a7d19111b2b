"""Pages about incidents: what is wrong now and was, what is done about it, what is under maintenance."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import CHANGED, Subject
from cloud.alerts import handling, people
from cloud.alerts.incident import Incident
from cloud.alerts.kinds import page_of
from cloud.alerts.wording import Reader, text_of, title_of
from cloud.buyer.texts import Language
from cloud.console.alerts import readers
from cloud.console.alerts.readers import INCIDENT
from cloud.console.alerts.texts_en import EN
from cloud.console.alerts.texts_ru import RU
from cloud.console.alerts.what_to_do_en import WHAT_TO_DO_EN
from cloud.console.alerts.what_to_do_ru import WHAT_TO_DO_RU
from cloud.console.alerts.where_to_act import link_of
from cloud.console.shell.kinds import DEVICE
from cloud.console.shell.machines import machines_in, zones_of
from cloud.console.shell.merchants import names_of
from cloud.console.shell.paging import First, Key
from cloud.console.shell.request_context import MOST_REPEATED, Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction
from cloud.fleet.zones import zone

TEXTS: Mapping[Language, Mapping[str, str]] = {"ru": RU | WHAT_TO_DO_RU, "en": EN | WHAT_TO_DO_EN}
section = Section("alerts", TEXTS, Nav("alerts.overview", Act.SEE_INCIDENTS, icon="alerts", order=25))
SNOOZES = {"1": timedelta(hours=1), "4": timedelta(hours=4), "24": timedelta(days=1)}


MAINTENANCE = {hours: timedelta(hours=int(hours)) for hours in ("2", "8", "24", "72")}


class Sayer:
    """Says incidents in the words of the messages, in the language of the page and the time of their machines."""

    def __init__(self, context: RequestContext, zones: Mapping[str, str] = MappingProxyType({})) -> None:
        """`zones` are those of machines; what is of none is shown in the time of the page."""
        self._now = context.now
        self._texts = context.texts
        self._zones = zones

    def title(self, incident: Incident) -> str:
        """What is wrong, in a line."""
        return title_of(incident, self._reader(incident), self._now)

    def text(self, incident: Incident) -> str:
        """And in a sentence or two."""
        return text_of(incident, self._reader(incident), self._now)

    def when(self, moment: datetime, subject: str) -> str:
        """A moment at a machine."""
        return self._texts.there(moment, self._zones.get(subject, self._texts.zone.key))

    def _reader(self, incident: Incident) -> Reader:
        there = self._zones.get(incident.subject)
        return Reader(self._texts.language, zone(there) if there else self._texts.zone, "")


@section.page("/alerts", Act.SEE_INCIDENTS)
def overview(context: RequestContext) -> str:
    """What is wrong now, then what was."""
    after = Key.read(request.args.get("after", ""))
    with context.read() as session:
        now_open = First[Incident]([], 0) if after else readers.open_incidents(session, context.scope)
        past = readers.past_incidents(session, context.scope, after)
        muted = readers.mutes(session, context.scope, context.now)
        machines = machines_in(session, context.person.scope(Act.EDIT_ALERTS))
        subjects = [one.subject for one in (*now_open.items, *past.items)] + [one.device_uuid for one in muted]
        zones = zones_of(session, subjects)
        whose = names_of(session, context.scope, {one.merchant_id for one in (*now_open.items, *past.items)})
    return context.render(
        "alerts/overview.html", now_open=now_open, past=past, mutes=muted, machines=machines, say=Sayer(context, zones),
        whose=whose, first=not after, hours=[*MAINTENANCE],
    )  # fmt: skip


@section.page("/alerts/now", Act.SEE_INCIDENTS)
def open_now(context: RequestContext) -> str:
    """The part of the overview that is live."""
    with context.read() as session:
        now_open = readers.open_incidents(session, context.scope)
        zones = zones_of(session, [one.subject for one in now_open.items])
        whose = names_of(session, context.scope, {one.merchant_id for one in now_open.items})
    return context.render("alerts/open_now.html", now_open=now_open, whose=whose, say=Sayer(context, zones))


@section.page("/alerts/<incident_id>", Act.SEE_INCIDENTS, INCIDENT)
def show(context: RequestContext, incident_id: str) -> str:
    """One trouble, the messages about it, and what can be done."""
    with context.read() as session:
        incident = readers.incident(session, incident_id)
        messages = readers.messages_about(session, incident_id)
        whose = names_of(session, context.person.scope(Act.SEE_INCIDENTS), {incident.merchant_id})
    runbook = context.cloud.settings.runbook_url
    return context.render(
        "alerts/show.html", incident=incident, messages=messages, whose=whose, say=Sayer(context),
        runbook=runbook + page_of(incident.kind) if runbook else "", where=link_of(incident, context),
        subject=context.about(),
    )  # fmt: skip


@section.act("/alerts/<incident_id>/acknowledge", Act.ACKNOWLEDGE, INCIDENT)
def acknowledge(context: RequestContext, incident_id: str) -> BaseResponse:
    """Somebody looks after it."""

    def work(tx: Transaction) -> Done[None]:
        handling.acknowledge(tx, incident_id, context.author.name, context.now)
        return Done(None, {"acknowledged": False}, {"acknowledged": True})

    return _handled(context, incident_id, work, "alerts.acknowledged")


@section.act("/alerts/<incident_id>/snooze", Act.ACKNOWLEDGE, INCIDENT)
def snooze(context: RequestContext, incident_id: str) -> BaseResponse:
    """Nothing is told of it for a while."""
    until = context.now + SNOOZES.get(request.form.get("hours", ""), handling.SNOOZE)

    def work(tx: Transaction) -> Done[None]:
        handling.snooze(tx, incident_id, until, context.now)
        return Done(None, after={"snoozed_until": until.isoformat()})

    return _handled(context, incident_id, work, "alerts.snoozed")


@section.act("/alerts/link-me", Act.OWN_ACCOUNT)
def link_me(context: RequestContext) -> str:
    """A code that, written to the bot, lets one's own presses count."""

    def work(tx: Transaction) -> Done[str]:
        return Done(people.new_code(tx, "person", context.person.user_id, context.now), after={"code": CHANGED})

    me = Subject("user", context.person.user_id)
    return context.render("alerts/code.html", code=context.perform(Act.OWN_ACCOUNT, me, "", work), of_person=True)


@section.act("/alerts/maintenance", Act.EDIT_ALERTS)
def maintain(context: RequestContext) -> BaseResponse:
    """A machine is worked on: nothing new is told of it for a while; or it is done."""
    device, why = request.form.get("device", "").strip(), request.form.get("why", "").strip()
    is_over = "over" in request.form
    until = context.now + MAINTENANCE.get(request.form.get("hours", ""), timedelta(hours=2))
    with context.read() as session:
        subject = DEVICE.find(session, device)
    if subject is None:
        context.say("shell.no_machine", good=False, name=device[:MOST_REPEATED])
        return context.go("alerts.overview")

    def work(tx: Transaction) -> Done[None]:
        before = handling.muted(tx.session, subject.merchant_id, device)
        if is_over:
            handling.unmute(tx, subject.merchant_id, device)
        else:
            handling.mute(tx, subject.merchant_id, device, until, context.author.name, why, context.now)
        return Done(None, before, handling.muted(tx.session, subject.merchant_id, device))

    context.perform(Act.EDIT_ALERTS, subject, why, work)
    context.say("alerts.maintenance_over" if is_over else "alerts.maintenance_begun")
    return context.go("alerts.overview")


def _handled(
    context: RequestContext, incident_id: str, work: Callable[[Transaction], Done[None]], said: str
) -> BaseResponse:
    try:
        context.perform(Act.ACKNOWLEDGE, context.about(), "", work)
        context.say(said)
    except handling.Over:
        context.say("alerts.is_over", good=False)
    return context.go("alerts.show", incident_id=incident_id)
