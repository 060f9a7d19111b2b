"""Passkeys of one's own account: made, named, removed, each after a step-up."""

from flask import jsonify, request
from werkzeug.exceptions import NotFound, TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import passkeys, second_factor, sessions
from cloud.access.acts import Act
from cloud.access.challenges import Purpose
from cloud.access.journal import Subject
from cloud.access.login import Refused
from cloud.access.passkeys import LONGEST_NAME, TooMany
from cloud.console.account.browser import name_of
from cloud.console.account.routes import section
from cloud.console.shell.key_entrance import FIELD, passkey_login
from cloud.console.shell.request_context import Done, NeedsConfirmation, RequestContext
from cloud.database.transaction import Transaction

KIND = "passkey"
__all__ = ["section"]


@section.page("/account/passkeys/new", Act.OWN_ACCOUNT, confirmed=True)
def new_passkey(context: RequestContext) -> str:
    """A name for it, and a button that asks the authenticator."""
    passkey_login(context.cloud)
    return context.render("account/passkey.html", suggested=name_of(request.headers.get("User-Agent", "")))


@section.act("/account/passkeys/options", Act.OWN_ACCOUNT)
def passkey_options(context: RequestContext) -> BaseResponse:
    """What the authenticator is asked."""
    if not context.person.has_just_confirmed(context.now):
        raise NeedsConfirmation
    person = context.person
    try:
        asked = passkey_login(context.cloud).ask(Purpose.REGISTER, person.session_id, person.address, person)
    except Refused:
        raise TooManyRequests from None
    return jsonify(asked)


@section.act("/account/passkeys", Act.OWN_ACCOUNT)
def add_passkey(context: RequestContext) -> str | BaseResponse:
    """Keep the key that was made; with the first second step come recovery codes, shown once."""
    if not context.person.has_just_confirmed(context.now):
        raise NeedsConfirmation  # before the question is used up
    name = request.form.get("name", "").strip() or name_of(request.headers.get("User-Agent", ""))

    def work(tx: Transaction) -> Done[tuple[str, ...]]:
        key = passkeys.keep(tx, context.person.user_id, made, name, context.now)
        codes = second_factor.first_recovery_codes(tx, context.person.user_id)
        return Done(codes, after={"name": key.name}, subject=Subject(KIND, key.id))

    try:
        made = passkey_login(context.cloud).made(request.form.get(FIELD, ""), context.person)
        codes = context.perform(Act.OWN_ACCOUNT, Subject(KIND, ""), "", work, confirmed=True)
    except (Refused, TooMany) as refused:
        context.say("account.passkey_wrong" if isinstance(refused, Refused) else "account.passkey_many", good=False)
        return context.go("account.new_passkey")
    if codes:
        return context.render("account/recovery.html", codes=codes)
    context.say("account.passkey_added")
    return context.go("account.show")


@section.act("/account/passkeys/name", Act.OWN_ACCOUNT)
def name_passkey(context: RequestContext) -> BaseResponse:
    """Name it anew, so that people can tell their keys apart."""
    chosen, name = request.form.get("id", ""), request.form.get("name", "").strip()[:LONGEST_NAME]

    def work(tx: Transaction) -> Done[None]:
        key = passkeys.find(tx, context.person.user_id, chosen)
        if key is None or not name:
            raise NotFound
        before, key.name = key.name, name
        return Done(None, {"name": before}, {"name": name})

    context.perform(Act.OWN_ACCOUNT, Subject(KIND, chosen), "", work, confirmed=True)
    context.say("account.passkey_named")
    return context.go("account.show")


@section.act("/account/passkeys/remove", Act.OWN_ACCOUNT)
def remove_passkey(context: RequestContext) -> BaseResponse:
    """Refuse it from now on and end every other session: a thief of the key may have begun one."""
    chosen = request.form.get("id", "")

    def work(tx: Transaction) -> Done[None]:
        key = passkeys.find(tx, context.person.user_id, chosen)
        if key is None:
            raise NotFound
        before = {"name": key.name}
        passkeys.remove(tx, key)
        sessions.end(tx, context.person.user_id, context.now, but=context.person.session_id)
        return Done(None, before)

    context.perform(Act.OWN_ACCOUNT, Subject(KIND, chosen), "", work, confirmed=True)
    context.say("account.passkey_removed")
    return context.go("account.show")
