"""Pages about alerts: what is wrong, who is told, what is watched, what is under maintenance."""

from collections.abc import Callable, Mapping
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import CHANGED, Subject
from cloud.alerts import channel_settings, handling, people
from cloud.alerts.channel_settings import KINDS, ChannelTerms, ChannelWrong
from cloud.alerts.incident import Incident
from cloud.alerts.kinds import PLATFORM, Kind, Severity
from cloud.alerts.models import Channel
from cloud.alerts.rule_settings import RuleOfKind, rules_of, set_rules
from cloud.alerts.wording import Reader, text_of, title_of
from cloud.console.alerts import readers
from cloud.console.alerts.readers import CHANNEL, INCIDENT
from cloud.console.alerts.texts_en import EN
from cloud.console.alerts.texts_ru import RU
from cloud.console.shell.desk import Desk, Done
from cloud.console.shell.kinds import DEVICE
from cloud.console.shell.paging import Key
from cloud.console.shell.room import Nav, Room
from cloud.console.shell.texts import DEFAULT_ZONE
from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault

room = Room("alerts", {"ru": RU, "en": EN}, Nav("alerts.overview", Act.SEE_INCIDENTS, icon="alerts", order=25))
SNOOZES = {"1": timedelta(hours=1), "4": timedelta(hours=4), "24": timedelta(days=1)}


MAINTENANCE = {hours: timedelta(hours=int(hours)) for hours in ("2", "8", "24", "72")}


class Sayer:
    """Says incidents in the words of the messages, in the language of the page."""

    def __init__(self, desk: Desk) -> None:
        self._now = desk.now
        self._reader = Reader(desk.texts.language, ZoneInfo(DEFAULT_ZONE.key), "", desk.cloud.settings.runbook_url)

    def title(self, incident: Incident) -> str:
        """What is wrong, in a line."""
        return title_of(incident, self._reader, self._now)

    def text(self, incident: Incident) -> str:
        """And in a sentence or two."""
        return text_of(incident, self._reader, self._now)


@room.page("/alerts", Act.SEE_INCIDENTS)
def overview(desk: Desk) -> str:
    """What is wrong now, then what was."""
    after = Key.read(request.args.get("after", ""))
    with desk.read() as session:
        now_open = [] if after else readers.open_incidents(session, desk.scope)
        past = readers.past_incidents(session, desk.scope, after)
        muted = readers.mutes(session, desk.scope, desk.now)
        machines = readers.places(session, desk.person.scope(Act.EDIT_ALERTS)) if desk.may(Act.EDIT_ALERTS) else []
    return desk.render(
        "alerts/overview.html", now_open=now_open, past=past, mutes=muted, machines=machines, say=Sayer(desk),
        first=not after, hours=[*MAINTENANCE],
    )  # fmt: skip


@room.page("/alerts/now", Act.SEE_INCIDENTS)
def open_now(desk: Desk) -> str:
    """The part of the overview that is live."""
    with desk.read() as session:
        now_open = readers.open_incidents(session, desk.scope)
    return desk.render("alerts/open_now.html", now_open=now_open, say=Sayer(desk))


@room.page("/alerts/<incident_id>", Act.SEE_INCIDENTS, INCIDENT)
def show(desk: Desk, incident_id: str) -> str:
    """One trouble, what was told of it, and what can be done."""
    with desk.read() as session:
        incident = readers.incident(session, incident_id)
        told = readers.told_about(session, incident_id)
    anchor = incident.kind.value.replace("_", "-")
    runbook = desk.cloud.settings.runbook_url
    return desk.render(
        "alerts/show.html", incident=incident, told=told, say=Sayer(desk),
        runbook=f"{runbook}docs/runbook.md#{anchor}" if runbook else "", anchor=anchor, subject=desk.about(),
    )  # fmt: skip


@room.act("/alerts/<incident_id>/acknowledge", Act.ACKNOWLEDGE, INCIDENT)
def acknowledge(desk: Desk, incident_id: str) -> BaseResponse:
    """Somebody looks after it."""

    def work(tx: Transaction) -> Done[None]:
        handling.acknowledge(tx, incident_id, desk.author.name, desk.now)
        return Done(None, {"acknowledged": False}, {"acknowledged": True})

    return _handled(desk, incident_id, work, "alerts.acknowledged")


@room.act("/alerts/<incident_id>/snooze", Act.ACKNOWLEDGE, INCIDENT)
def snooze(desk: Desk, incident_id: str) -> BaseResponse:
    """Nothing is told of it for a while."""
    until = desk.now + SNOOZES.get(request.form.get("hours", ""), handling.SNOOZE)

    def work(tx: Transaction) -> Done[None]:
        handling.snooze(tx, incident_id, until, desk.now)
        return Done(None, after={"snoozed_until": until.isoformat()})

    return _handled(desk, incident_id, work, "alerts.snoozed")


@room.page("/alerts/channels", Act.EDIT_ALERTS)
def channels(desk: Desk) -> str:
    """Who is told, and a form for one more."""
    with desk.read() as session:
        found = readers.channels(session, desk.scope)
        owners = readers.merchants(session, desk.scope)
    return desk.render("alerts/channels.html", channels=found, owners=owners, kinds=_kinds(desk), platform=PLATFORM)


@room.act("/alerts/channels/add", Act.EDIT_ALERTS)
def add_channel(desk: Desk) -> BaseResponse | str:
    """One more channel; a webhook's secret is shown this once."""
    owner = _owner(desk)
    vault = Vault(desk.cloud.settings.secret_key, desk.cloud.settings.old_secret_keys)

    def work(tx: Transaction) -> Done[tuple[Channel, str]]:
        channel, secret = channel_settings.add(tx, owner, _terms(), vault, desk.now)
        after = {"kind": channel.kind, "name": channel.name, "address": channel.address}
        return Done((channel, secret), None, after, Subject("channel", channel.id, owner))

    try:
        channel, secret = desk.perform(Act.EDIT_ALERTS, Subject("channel", "", owner), "", work)
    except ChannelWrong as error:
        return _wrong(desk, error, "alerts.channels")
    if secret:
        return desk.render("alerts/secret.html", channel=channel, secret=secret)
    desk.say("alerts.channel_added")
    return desk.go("alerts.channel", channel_id=channel.id)


@room.page("/alerts/channels/<channel_id>", Act.EDIT_ALERTS, CHANNEL)
def channel(desk: Desk, channel_id: str) -> str:
    """How it is set up, its log, a test."""
    with desk.read() as session:
        found = session.get_one(Channel, channel_id)
        log = readers.attempts(session, channel_id)
    return desk.render("alerts/channel.html", channel=found, attempts=log, severities=_severities(desk))


@room.act("/alerts/channels/<channel_id>/save", Act.EDIT_ALERTS, CHANNEL)
def save_channel(desk: Desk, channel_id: str) -> BaseResponse:
    """Set it up anew."""

    def work(tx: Transaction) -> Done[None]:
        old = channel_settings.of_id(tx, channel_id)
        before = _told_of(old)
        channel_settings.change(tx, channel_id, _terms(old.kind))
        return Done(None, before, _told_of(old))

    try:
        desk.perform(Act.EDIT_ALERTS, desk.about(), "", work)
    except ChannelWrong as error:
        return _wrong(desk, error, "alerts.channel", channel_id=channel_id)
    desk.say("alerts.saved")
    return desk.go("alerts.channel", channel_id=channel_id)


@room.act("/alerts/channels/<channel_id>/test", Act.EDIT_ALERTS, CHANNEL)
def test_channel(desk: Desk, channel_id: str) -> BaseResponse:
    """Have a test message sent."""

    def work(tx: Transaction) -> Done[None]:
        channel_settings.test(tx, channel_id, desk.now)
        return Done(None, after={"test": True})

    desk.perform(Act.EDIT_ALERTS, desk.about(), "", work)
    desk.say("alerts.test_sent")
    return desk.go("alerts.channel", channel_id=channel_id)


@room.act("/alerts/channels/<channel_id>/remove", Act.EDIT_ALERTS, CHANNEL)
def remove_channel(desk: Desk, channel_id: str) -> BaseResponse:
    """Tell nothing there any more."""

    def work(tx: Transaction) -> Done[None]:
        before = _told_of(channel_settings.of_id(tx, channel_id))
        channel_settings.remove(tx, channel_id)
        return Done(None, before)

    desk.perform(Act.EDIT_ALERTS, desk.about(), "", work)
    desk.say("alerts.channel_removed")
    return desk.go("alerts.channels")


@room.act("/alerts/channels/<channel_id>/code", Act.EDIT_ALERTS, CHANNEL)
def channel_code(desk: Desk, channel_id: str) -> str:
    """A code that, written in a chat, makes that chat the channel's."""

    def work(tx: Transaction) -> Done[str]:
        return Done(people.new_code(tx, "channel", channel_id, desk.now), after={"code": CHANGED})

    code = desk.perform(Act.EDIT_ALERTS, desk.about(), "", work)
    return desk.render("alerts/code.html", code=code, of_person=False)


@room.act("/alerts/link-me", Act.OWN_ACCOUNT)
def link_me(desk: Desk) -> str:
    """A code that, written to the bot, lets one's own presses count."""

    def work(tx: Transaction) -> Done[str]:
        return Done(people.new_code(tx, "person", desk.person.user_id, desk.now), after={"code": CHANGED})

    me = Subject("user", desk.person.user_id)
    return desk.render("alerts/code.html", code=desk.perform(Act.OWN_ACCOUNT, me, "", work), of_person=True)


@room.page("/alerts/rules", Act.EDIT_ALERTS)
def rules(desk: Desk) -> str:
    """What is watched, for one merchant."""
    with desk.read() as session:
        owners = readers.merchants(session, desk.scope)
        chosen = request.args.get("of", owners[0][0] if owners else "")
        if not desk.scope.covers(chosen):
            raise BadRequest
        found = rules_of(session, chosen)
    return desk.render("alerts/rules.html", rules=found, owners=owners, chosen=chosen)


@room.act("/alerts/rules/save", Act.EDIT_ALERTS)
def save_rules(desk: Desk) -> BaseResponse:
    """What is watched from now on."""
    owner = _owner(desk)

    def work(tx: Transaction) -> Done[None]:
        before = rules_of(tx.session, owner)
        set_rules(tx, owner, {kind: _wanted(kind, rule) for kind, rule in before.items()})
        return Done(None, _told(before), _told(rules_of(tx.session, owner)))

    desk.perform(Act.EDIT_ALERTS, Subject("alert_rules", owner, owner), "", work)
    desk.say("alerts.saved")
    return desk.go("alerts.rules", of=owner)


@room.act("/alerts/maintenance", Act.EDIT_ALERTS)
def maintain(desk: Desk) -> BaseResponse:
    """A machine is worked on: nothing new is told of it for a while; or it is done."""
    device, why = request.form.get("device", ""), request.form.get("why", "").strip()
    is_over = "over" in request.form
    until = desk.now + MAINTENANCE.get(request.form.get("hours", ""), timedelta(hours=2))
    with desk.read() as session:
        subject = DEVICE.find(session, device)
    if subject is None:
        raise BadRequest

    def work(tx: Transaction) -> Done[None]:
        if is_over:
            handling.unmute(tx, subject.merchant_id, device)
            return Done(None, {"maintenance": True}, {"maintenance": False})
        handling.mute(tx, subject.merchant_id, device, until, desk.author.name, why, desk.now)
        return Done(None, {"maintenance": False}, {"maintenance_until": until.isoformat()})

    desk.perform(Act.EDIT_ALERTS, subject, why, work)
    desk.say("alerts.maintenance_over" if is_over else "alerts.maintenance_begun")
    return desk.go("alerts.overview")


def _owner(desk: Desk) -> str:
    """Whose it is: named by the form; only an admin's may be nobody's (the platform's)."""
    owner = request.form.get("merchant", "")
    if not owner and not desk.person.is_admin:
        raise BadRequest
    return owner


def _handled(desk: Desk, incident_id: str, work: Callable[[Transaction], Done[None]], said: str) -> BaseResponse:
    try:
        desk.perform(Act.ACKNOWLEDGE, desk.about(), "", work)
        desk.say(said)
    except handling.Over:
        desk.say("alerts.is_over", good=False)
    return desk.go("alerts.show", incident_id=incident_id)


def _wrong(desk: Desk, error: ChannelWrong, view: str, **named: str) -> BaseResponse:
    desk.say(f"alerts.wrong.{str(error).replace(' ', '_')}", good=False)
    return desk.go(view, **named)


def _terms(kind: str = "") -> ChannelTerms:
    form = request.form
    return ChannelTerms(
        kind or form.get("kind", ""), form.get("name", "").strip(), form.get("address", "").strip(),
        form.get("language", "ru"), form.get("zone", DEFAULT_ZONE.key), form.get("least", Severity.NOTICE.value),
        form.get("is_second") == "1", form.get("summary", "1") == "1", _time(form.get("quiet_begin", "")),
        _time(form.get("quiet_end", "")), form.get("pierces", "1") == "1",
    )  # fmt: skip


def _time(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if text else None
    except ValueError as error:
        raise ChannelWrong("quiet hours") from error


def _minutes(text: str) -> float | None:
    """Seconds, from minutes as a person writes them."""
    try:
        return float(text.replace(",", ".")) * 60
    except ValueError:
        return None


def _wanted(kind: Kind, rule: RuleOfKind) -> RuleOfKind:
    pending_s = _minutes(request.form.get(f"pending-{kind.value}", ""))
    return RuleOfKind(f"on-{kind.value}" in request.form, rule.pending_s if pending_s is None else pending_s)


def _told(rules: Mapping[Kind, RuleOfKind]) -> dict[str, object]:
    return {kind.value: [rule.enabled, rule.pending_s] for kind, rule in rules.items()}


def _told_of(channel: Channel) -> dict[str, object]:
    names = ("name", "address", "language", "zone", "least", "is_second", "summary", "pierces")
    return {name: getattr(channel, name) for name in names}


def _kinds(desk: Desk) -> list[tuple[str, str]]:
    return [(kind, str(desk.texts(f"alerts.kind.{kind}"))) for kind in KINDS]


def _severities(desk: Desk) -> list[tuple[str, str]]:
    return [(each.value, str(desk.texts(f"alerts.severity.{each.value}"))) for each in Severity]
