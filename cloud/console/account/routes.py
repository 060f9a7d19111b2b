"""Pages of one's own account. Whoever is logged in may see and change his own, and nobody else's."""

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
from cloud.console.shell.desk import Desk, Done, NeedsConfirmation
from cloud.console.shell.section import Section
from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault

section = Section("account", {"ru": RU, "en": EN})


@section.page("/account", Act.OWN_ACCOUNT)
def show(desk: Desk) -> str:
    """Everything of one's own on one page."""
    with desk.read() as session:
        user = session.get_one(User, desk.person.user_id)
        live = sessions.live_of(session, user.id, desk.now)
        keys = passkeys.of_user(session, user.id)
        linked = messengers.linked(session, user.id)
    return desk.render("account/show.html", user=user, sessions=live, keys=keys, linked=linked, browser=name_of)


@section.act("/account/taste", Act.OWN_ACCOUNT)
def taste(desk: Desk) -> BaseResponse:
    """Name, language, light or dark."""
    form = request.form
    wanted = {
        "name": form.get("name", desk.person.name).strip()[:255],
        "language": form["language"] if form.get("language") in LANGUAGES else desk.person.language,
        "theme": form.get("theme", desk.person.theme) if form.get("theme", "") in {"", *cookies.THEMES} else "",
    }

    def change(tx: Transaction) -> Done[None]:
        user = tx.session.get_one(User, desk.person.user_id)
        before = {name: getattr(user, name) for name in wanted}
        for name, value in wanted.items():
            setattr(user, name, value)
        return Done(None, before, wanted)

    desk.perform(Act.OWN_ACCOUNT, _me(desk.person), "", change)
    return desk.go("account.show")


@section.act("/account/password", Act.OWN_ACCOUNT)
def password(desk: Desk) -> BaseResponse:
    """Another password; every other session ends."""
    login = Login(desk.database, _locks(desk), desk.cloud.clock)
    try:
        problem = login.change_password(desk.person, request.form.get("old", ""), request.form.get("new", ""))
    except Refused:
        desk.say("account.old_wrong", good=False)
        return desk.go("account.show")
    desk.say(f"shell.password_{problem}" if problem else "account.password_changed", good=not problem)
    return desk.go("account.show")


@section.page("/account/second-factor", Act.OWN_ACCOUNT, confirmed=True)
def second_factor_page(desk: Desk) -> str:
    """A QR code for an authenticator, and a field for its first code."""
    return _offer(desk, offer(desk.person.email))


@section.act("/account/second-factor", Act.OWN_ACCOUNT)
def set_up_second_factor(desk: Desk) -> str:
    """The first code shows that the authenticator has the secret; then recovery codes are told, once."""
    if not desk.person.has_just_confirmed(desk.now):
        raise NeedsConfirmation
    offered = offer(desk.person.email, request.form.get("secret", ""))
    step = second_factor.step_of(offered.secret, request.form.get("code", ""), desk.now)
    if step is None:
        return _offer(desk, offered, wrong=True)

    def keep(tx: Transaction) -> Done[tuple[str, ...]]:
        codes = second_factor.set_up(tx, desk.person.user_id, _locks(desk), offered.secret, step)
        return Done(codes, after={"second_factor": "totp"})

    codes = desk.perform(Act.OWN_ACCOUNT, _me(desk.person), "", keep, confirmed=True)
    return desk.render("account/recovery.html", codes=codes)


@section.act("/account/recovery-codes", Act.OWN_ACCOUNT)
def recovery_codes(desk: Desk) -> str:
    """New recovery codes instead of the old ones."""

    def renew(tx: Transaction) -> Done[tuple[str, ...]]:
        return Done(second_factor.new_recovery_codes(tx, desk.person.user_id), after={"recovery_codes": "changed"})

    codes = desk.perform(Act.OWN_ACCOUNT, _me(desk.person), "", renew, confirmed=True)
    return desk.render("account/recovery.html", codes=codes)


@section.act("/account/sessions/end", Act.OWN_ACCOUNT)
def end_sessions(desk: Desk) -> BaseResponse:
    """End one session, or every other one."""
    chosen = request.form.get("session", "")

    def end(tx: Transaction) -> Done[int]:
        ended = sessions.end(tx, desk.person.user_id, desk.now, chosen, but=desk.person.session_id)
        return Done(ended, after={"ended_sessions": ended})

    ended = desk.perform(Act.OWN_ACCOUNT, _me(desk.person), "", end)
    if chosen and not ended:
        raise NotFound
    desk.say("account.sessions_ended")
    return desk.go("account.show")


@section.act("/account/messengers/unlink", Act.OWN_ACCOUNT)
def unlink_messengers(desk: Desk) -> BaseResponse:
    """Take buttons of alerts from the messengers that are his."""

    def work(tx: Transaction) -> Done[None]:
        before = {"messengers": messengers.linked(tx.session, desk.person.user_id)}
        messengers.unlink(tx, desk.person.user_id)
        return Done(None, before, {"messengers": []})

    desk.perform(Act.OWN_ACCOUNT, _me(desk.person), "", work)
    desk.say("account.messengers_unlinked")
    return desk.go("account.show")


def _offer(desk: Desk, offered: Offered, *, wrong: bool = False) -> str:
    return desk.render("account/second_factor.html", offered=offered, wrong=wrong)


def _me(person: Person) -> Subject:
    return Subject("user", person.user_id)


def _locks(desk: Desk) -> Vault:
    return Vault(desk.cloud.settings.secret_key, desk.cloud.settings.old_secret_keys)
