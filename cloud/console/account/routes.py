"""Pages of one's own account. Everybody who is logged in sees and changes that one only."""

from flask import request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import messengers, passkeys, second_factor, sessions
from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.access.login import Login, Refused
from cloud.access.models import User
from cloud.access.person import Person
from cloud.buyer.texts import LANGUAGES
from cloud.console.account.browser import name_of
from cloud.console.account.second_factor_form import Offered, offer
from cloud.console.account.texts_en import EN
from cloud.console.account.texts_ru import RU
from cloud.console.shell import cookies
from cloud.console.shell.request_context import Done, NeedsConfirmation, RequestContext
from cloud.console.shell.section import Section
from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault

section = Section("account", {"ru": RU, "en": EN})


@section.page("/account", Act.OWN_ACCOUNT)
def show(context: RequestContext) -> str:
    """Everything of one's own on one page."""
    with context.read() as session:
        user = session.get_one(User, context.person.user_id)
        live = sessions.live_of(session, user.id, context.now)
        keys = passkeys.of_user(session, user.id)
        linked = messengers.linked(session, user.id)
    return context.render("account/show.html", user=user, sessions=live, keys=keys, linked=linked, browser=name_of)


@section.act("/account/taste", Act.OWN_ACCOUNT)
def taste(context: RequestContext) -> BaseResponse:
    """Name, language, light or dark."""
    form = request.form
    wanted = {
        "name": form.get("name", context.person.name).strip()[:255],
        "language": form["language"] if form.get("language") in LANGUAGES else context.person.language,
        "theme": form.get("theme", context.person.theme) if form.get("theme", "") in {"", *cookies.THEMES} else "",
    }

    def change(tx: Transaction) -> Done[None]:
        user = tx.session.get_one(User, context.person.user_id)
        before = {name: getattr(user, name) for name in wanted}
        for name, value in wanted.items():
            setattr(user, name, value)
        return Done(None, before, wanted)

    context.perform(Act.OWN_ACCOUNT, _me(context.person), "", change)
    return context.go("account.show")


@section.act("/account/password", Act.OWN_ACCOUNT)
def password(context: RequestContext) -> BaseResponse:
    """Another password; every other session ends."""
    login = Login(context.database, _locks(context), context.cloud.clock)
    try:
        problem = login.change_password(context.person, request.form.get("old", ""), request.form.get("new", ""))
    except Refused:
        context.say("account.old_wrong", good=False)
        return context.go("account.show")
    context.say(f"shell.password_{problem}" if problem else "account.password_changed", good=not problem)
    return context.go("account.show")


@section.page("/account/second-factor", Act.OWN_ACCOUNT, confirmed=True)
def second_factor_page(context: RequestContext) -> str:
    """A QR code for an authenticator, and a field for its first code."""
    return _offer(context, offer(context.person.email))


@section.act("/account/second-factor", Act.OWN_ACCOUNT)
def set_up_second_factor(context: RequestContext) -> str:
    """The first code shows that the authenticator has the secret; then recovery codes are shown, once."""
    if not context.person.has_just_confirmed(context.now):
        raise NeedsConfirmation
    offered = offer(context.person.email, request.form.get("secret", ""))
    step = second_factor.step_of(offered.secret, request.form.get("code", ""), context.now)
    if step is None:
        return _offer(context, offered, wrong=True)

    def keep(tx: Transaction) -> Done[tuple[str, ...]]:
        codes = second_factor.set_up(tx, context.person.user_id, _locks(context), offered.secret, step)
        return Done(codes, after={"second_factor": "totp"})

    codes = context.perform(Act.OWN_ACCOUNT, _me(context.person), "", keep, confirmed=True)
    return context.render("account/recovery.html", codes=codes)


@section.act("/account/recovery-codes", Act.OWN_ACCOUNT)
def recovery_codes(context: RequestContext) -> str:
    """New recovery codes instead of the old ones."""

    def renew(tx: Transaction) -> Done[tuple[str, ...]]:
        return Done(second_factor.new_recovery_codes(tx, context.person.user_id), after={"recovery_codes": "changed"})

    codes = context.perform(Act.OWN_ACCOUNT, _me(context.person), "", renew, confirmed=True)
    return context.render("account/recovery.html", codes=codes)


@section.act("/account/sessions/end", Act.OWN_ACCOUNT)
def end_sessions(context: RequestContext) -> BaseResponse:
    """End one session, or every other one."""
    chosen = request.form.get("session", "")

    def end(tx: Transaction) -> Done[int]:
        ended = sessions.end(tx, context.person.user_id, context.now, chosen, but=context.person.session_id)
        return Done(ended, after={"ended_sessions": ended})

    ended = context.perform(Act.OWN_ACCOUNT, _me(context.person), "", end)
    if chosen and not ended:
        raise NotFound
    context.say("account.sessions_ended")
    return context.go("account.show")


@section.act("/account/messengers/unlink", Act.OWN_ACCOUNT)
def unlink_messengers(context: RequestContext) -> BaseResponse:
    """Take the buttons of alerts from this person's messengers."""

    def work(tx: Transaction) -> Done[None]:
        before = {"messengers": messengers.linked(tx.session, context.person.user_id)}
        messengers.unlink(tx, context.person.user_id)
        return Done(None, before, {"messengers": []})

    context.perform(Act.OWN_ACCOUNT, _me(context.person), "", work)
    context.say("account.messengers_unlinked")
    return context.go("account.show")


def _offer(context: RequestContext, offered: Offered, *, wrong: bool = False) -> str:
    return context.render("account/second_factor.html", offered=offered, wrong=wrong)


def _me(person: Person) -> Subject:
    return Subject("user", person.user_id)


def _locks(context: RequestContext) -> Vault:
    return Vault(context.cloud.settings.secret_key, context.cloud.settings.old_secret_keys)
