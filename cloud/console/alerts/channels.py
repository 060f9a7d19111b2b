"""Pages about channels: where operators are told, with a test and a log."""

from datetime import time
from functools import partial

from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import CHANGED, Subject, difference
from cloud.alerts import channel_settings, people
from cloud.alerts.channel_settings import KINDS, ChannelTerms, ChannelWrong
from cloud.alerts.kinds import PLATFORM, Severity
from cloud.alerts.models import Channel
from cloud.alerts.wording import undelivered
from cloud.console.alerts import readers
from cloud.console.alerts.readers import CHANNEL
from cloud.console.alerts.routes import section
from cloud.console.shell.request_context import Done, RequestContext
from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault


@section.page("/alerts/channels", Act.EDIT_ALERTS)
def channels(context: RequestContext) -> str:
    """The channels, and a form for one more."""
    with context.read() as session:
        found = readers.channels(session, context.scope)
        owners = readers.merchants(session, context.scope)
    return context.render(
        "alerts/channels.html", channels=found, owners=owners, kinds=_kinds(context), platform=PLATFORM
    )


@section.act("/alerts/channels/add", Act.EDIT_ALERTS)
def add_channel(context: RequestContext) -> BaseResponse | str:
    """One more channel; a webhook's secret is shown this once."""
    owner = owner_named_in_form(context)
    vault = Vault(context.cloud.settings.secret_key, context.cloud.settings.old_secret_keys)

    def work(tx: Transaction) -> Done[tuple[Channel, str]]:
        channel, secret = channel_settings.add(tx, owner, _terms(), vault, context.now)
        after = channel_settings.terms_of(channel)
        return Done((channel, secret), {}, after, Subject("channel", channel.id, owner))

    try:
        channel, secret = context.perform(Act.EDIT_ALERTS, Subject("channel", "", owner), "", work)
    except ChannelWrong as error:
        return _wrong(context, error, "alerts.channels")
    if secret:
        return context.render("alerts/secret.html", channel=channel, secret=secret)
    context.say("alerts.channel_added")
    return context.go("alerts.channel", channel_id=channel.id)


@section.page("/alerts/channels/<channel_id>", Act.EDIT_ALERTS, CHANNEL)
def channel(context: RequestContext, channel_id: str) -> str:
    """How it is set up, its log, a test."""
    with context.read() as session:
        found = session.get_one(Channel, channel_id)
        log = readers.attempts(session, channel_id)
    why = partial(undelivered, language=context.texts.language)
    return context.render("alerts/channel.html", channel=found, attempts=log, severities=_severities(context), why=why)


@section.act("/alerts/channels/<channel_id>/save", Act.EDIT_ALERTS, CHANNEL)
def save_channel(context: RequestContext, channel_id: str) -> BaseResponse:
    """Set it up anew."""

    def work(tx: Transaction) -> Done[None]:
        old = channel_settings.of_id(tx, channel_id)
        before = channel_settings.terms_of(old)
        channel_settings.change(tx, channel_id, _terms(old.kind))
        return Done(None, *difference(before, channel_settings.terms_of(old)))

    try:
        context.perform(Act.EDIT_ALERTS, context.about(), "", work)
    except ChannelWrong as error:
        return _wrong(context, error, "alerts.channel", channel_id=channel_id)
    context.say("alerts.saved")
    return context.go("alerts.channel", channel_id=channel_id)


@section.act("/alerts/channels/<channel_id>/test", Act.EDIT_ALERTS, CHANNEL)
def test_channel(context: RequestContext, channel_id: str) -> BaseResponse:
    """Have a test message sent; while one is under way, that one."""

    def work(tx: Transaction) -> Done[None]:
        return Done(None, after=channel_settings.test(tx, channel_id, context.now))

    try:
        context.perform(Act.EDIT_ALERTS, context.about(), "", work)
    except ChannelWrong as error:
        return _wrong(context, error, "alerts.channel", channel_id=channel_id)
    context.say("alerts.test_sent")
    return context.go("alerts.channel", channel_id=channel_id)


@section.act("/alerts/channels/<channel_id>/remove", Act.EDIT_ALERTS, CHANNEL)
def remove_channel(context: RequestContext, channel_id: str) -> BaseResponse:
    """Tell nothing there any more."""

    def work(tx: Transaction) -> Done[None]:
        before = channel_settings.terms_of(channel_settings.of_id(tx, channel_id))
        channel_settings.remove(tx, channel_id)
        return Done(None, before, {})

    context.perform(Act.EDIT_ALERTS, context.about(), "", work)
    context.say("alerts.channel_removed")
    return context.go("alerts.channels")


@section.act("/alerts/channels/<channel_id>/code", Act.EDIT_ALERTS, CHANNEL)
def channel_code(context: RequestContext, channel_id: str) -> str:
    """A code that, written in a chat, makes that chat the channel's."""

    def work(tx: Transaction) -> Done[str]:
        return Done(people.new_code(tx, "channel", channel_id, context.now), after={"code": CHANGED})

    code = context.perform(Act.EDIT_ALERTS, context.about(), "", work)
    return context.render("alerts/code.html", code=code, of_person=False)


def owner_named_in_form(context: RequestContext) -> str:
    """Whose it is: named by the form; only an admin's may be nobody's (the platform's)."""
    owner = request.form.get("merchant", "")
    if not owner and not context.person.is_admin:
        raise BadRequest
    return owner


def _wrong(context: RequestContext, error: ChannelWrong, view: str, **named: str) -> BaseResponse:
    context.say(f"alerts.wrong.{str(error).replace(' ', '_')}", good=False)
    return context.go(view, **named)


def _terms(kind: str = "") -> ChannelTerms:
    form = request.form
    return ChannelTerms(
        kind or form.get("kind", ""), form.get("name", "").strip(), form.get("address", "").strip(),
        form.get("language", "ru"), form.get("zone", "").strip(), form.get("least", Severity.NOTICE.value),
        form.get("is_second") == "1", form.get("summary", "1") == "1", _time(form.get("quiet_begin", "")),
        _time(form.get("quiet_end", "")), form.get("pierces", "1") == "1",
    )  # fmt: skip


def _time(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if text else None
    except ValueError as error:
        raise ChannelWrong("quiet hours") from error


def _kinds(context: RequestContext) -> list[tuple[str, str]]:
    return [(kind, str(context.texts(f"alerts.kind.{kind}"))) for kind in KINDS]


def _severities(context: RequestContext) -> list[tuple[str, str]]:
    return [(each.value, str(context.texts(f"alerts.severity.{each.value}"))) for each in Severity]
