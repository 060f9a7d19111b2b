"""Pages of people: who they are, invite, change and take a role, end sessions, a new link, support access."""

from collections.abc import Callable
from typing import Any

from flask import request
from sqlalchemy import select
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import sessions, support, users
from cloud.access.acts import Act, Role
from cloud.access.journal import Subject
from cloud.access.models import Membership, User
from cloud.console.account.browser import name_of
from cloud.console.people import readers
from cloud.console.people.readers import MEMBER
from cloud.console.people.texts_en import EN
from cloud.console.people.texts_ru import RU
from cloud.console.shell.cookies import PATH
from cloud.console.shell.kinds import MERCHANT
from cloud.console.shell.merchants import merchants_in
from cloud.console.shell.paging import AFTER
from cloud.console.shell.request_context import MOST_REPEATED, Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction

section = Section("people", {"ru": RU, "en": EN}, Nav("people.everybody", Act.MANAGE_USERS, icon="people", order=80))

MOST_TYPED = 20_000
"""Characters of machines' names."""


class NoMachine(Exception):
    """The merchant has none of this name."""


@section.page("/people", Act.MANAGE_USERS)
def everybody(context: RequestContext) -> str:
    """Everybody, by merchant."""
    with context.read() as session:
        found = readers.everybody(session, context.scope, request.args.get(AFTER, ""))
        is_one = readers.is_one_merchant(session, context.scope)
    return context.render("people/list.html", found=found, is_one=is_one)


@section.page("/people/invite/<merchant_id>", Act.MANAGE_USERS, MERCHANT, confirmed=True)
def invitation(context: RequestContext, merchant_id: str) -> str:
    """Name somebody new."""
    with context.read() as session:
        machines = readers.machines(session, merchant_id)
    roles = users.grantable(context.person, merchant_id)
    return context.render("people/invite.html", merchant_id=merchant_id, roles=roles, machines=machines)


@section.act("/people/invite/<merchant_id>", Act.MANAGE_USERS, MERCHANT)
def invite(context: RequestContext, merchant_id: str) -> str | BaseResponse:
    """Give somebody a role; a new user gets a link, shown this once. A disabled one stays so, and the page says it."""
    email, name = request.form.get("email", "").strip()[:255], request.form.get("name", "").strip()[:255]
    if "@" not in email:
        raise BadRequest
    try:
        role, machines = _wanted(context)
    except NoMachine as error:
        return _no_machine(context, error, "people.invitation", merchant_id=merchant_id)

    def work(tx: Transaction) -> Done[tuple[str, bool]]:
        user, asks_link = users.invitee(tx, email, name, context.person, context.now)
        before = _held(tx, user.id, merchant_id)
        users.give_role(tx, user.id, merchant_id, role, machines, context.person)
        token = users.invite(tx, user.id, context.now) if asks_link else ""
        after = {"role": role.value, "machines": machines}
        is_disabled = user.disabled_at is not None
        return Done((token, is_disabled), before, after, Subject("user", user.id, merchant_id))

    try:
        token, is_disabled = context.perform(Act.MANAGE_USERS, context.about(), "", work)
    except users.NotAllowed as error:
        return _refused(context, error)
    if token:
        return context.render("people/link.html", link=_link(context, token), email=email)
    context.say("people.given_disabled" if is_disabled else "people.given", good=not is_disabled)
    return context.go("people.everybody")


@section.page("/people/<member_id>", Act.MANAGE_USERS, MEMBER, confirmed=True)
def show(context: RequestContext, member_id: str) -> str:
    """One person: role, sessions, what can be done."""
    subject = context.about()
    with context.read() as session:
        member = readers.member(session, int(member_id))
        live = readers.open_sessions(session, subject.id, context.now)
        machines = readers.machines(session, subject.merchant_id, member.machines or ())
        manageable = users.may_manage(context.person, session, subject.id)
    roles = users.grantable(context.person, subject.merchant_id)
    return context.render(
        "people/show.html", member=member, sessions=live, browser=name_of, roles=roles, machines=machines,
        manageable=manageable, removable=subject.id != context.person.user_id and member.role in roles,
    )  # fmt: skip


@section.act("/people/<member_id>/role", Act.MANAGE_USERS, MEMBER)
def change_role(context: RequestContext, member_id: str) -> BaseResponse:
    """Another role, or none any more."""
    subject, takes = context.about(), "take" in request.form
    try:
        role, machines = (None, None) if takes else _wanted(context)
    except NoMachine as error:
        return _no_machine(context, error, "people.show", member_id=member_id)

    def work(tx: Transaction) -> Done[None]:
        before = _held(tx, subject.id, subject.merchant_id)
        if role is None:
            users.take_role(tx, subject.id, subject.merchant_id, context.person)
        else:
            users.give_role(tx, subject.id, subject.merchant_id, role, machines, context.person)
        return Done(None, before, {"role": role and role.value, "machines": machines})

    try:
        context.perform(Act.MANAGE_USERS, subject, "", work)
    except users.NotAllowed as error:
        return _refused(context, error)
    context.say("people.taken" if takes else "people.given")
    return context.go("people.everybody")


@section.act("/people/<member_id>/log-out", Act.MANAGE_USERS, MEMBER)
def log_out(context: RequestContext, member_id: str) -> BaseResponse:
    """End all sessions of this user, at once."""
    subject = context.about()

    def work(tx: Transaction) -> Done[int]:
        _must_manage(context, tx, subject.id)
        return Done(sessions.end(tx, subject.id, context.now), after={"sessions": "ended"})

    return _managed(context, work, member_id, "people.logged_out")


@section.act("/people/<member_id>/disable", Act.MANAGE_USERS, MEMBER)
def disable(context: RequestContext, member_id: str) -> BaseResponse:
    """Refuse this user everywhere, or admit the user again."""
    subject, enables = context.about(), "enable" in request.form

    def work(tx: Transaction) -> Done[None]:
        _must_manage(context, tx, subject.id)
        if enables:
            users.enable(tx, subject.id)
        else:
            users.disable(tx, subject.id, context.now)
        return Done(None, {"disabled": enables}, {"disabled": not enables})

    return _managed(context, work, member_id, "people.enabled" if enables else "people.disabled")


@section.act("/people/<member_id>/reset", Act.MANAGE_USERS, MEMBER)
def reset(context: RequestContext, member_id: str) -> str | BaseResponse:
    """A link to choose a new password by; with it, if asked, a new second factor."""
    subject, anew = context.about(), "second_factor" in request.form

    def work(tx: Transaction) -> Done[tuple[str, str]]:
        _must_manage(context, tx, subject.id)
        token = users.reset(tx, subject.id, context.now, with_second_factor=anew)
        return Done((token, tx.session.get_one(User, subject.id).email), after={"password": "changed", "second": anew})

    try:
        token, email = context.perform(Act.MANAGE_USERS, subject, "", work)
    except users.NotAllowed as error:
        return _refused(context, error)
    return context.render("people/link.html", link=_link(context, token), email=email)


@section.page("/support", Act.OPEN_SUPPORT_ACCESS, confirmed=True)
def support_page(context: RequestContext) -> str:
    """Support accesses that are open, and a form to open one. The platform's admins only."""
    with context.read() as session:
        opened = support.open_now(session, context.scope, context.now)
        menu = merchants_in(session, context.scope)
    return context.render("people/support.html", opened=opened, menu=menu)


@section.act("/support/open", Act.OPEN_SUPPORT_ACCESS)
def open_support(context: RequestContext) -> BaseResponse:
    """For an hour, for a reason."""
    merchant_id, why = request.form.get("merchant_id", ""), request.form.get("why", "").strip()
    with context.read() as session:
        subject = MERCHANT.find(session, merchant_id)
    if subject is None or not why:
        raise BadRequest

    def work(tx: Transaction) -> Done[None]:
        row = support.open_access(tx, context.person, merchant_id, why, context.now)
        return Done(None, after={"until": row.until.isoformat()})

    context.perform(Act.OPEN_SUPPORT_ACCESS, subject, why, work)
    return context.go("people.support_page")


@section.act("/support/<merchant_id>/end", Act.MANAGE_USERS, MERCHANT)
def end_support(context: RequestContext, merchant_id: str) -> BaseResponse:
    """End it before its hour is over; the admin who has it may, and an owner."""
    user_id = request.form.get("user_id", "")

    def work(tx: Transaction) -> Done[None]:
        support.end_access(tx, user_id, merchant_id, context.now)
        return Done(None, after={"support_access": "ended"})

    context.perform(Act.MANAGE_USERS, context.about(), "", work)
    return context.go("shell.home")


def _no_machine(context: RequestContext, error: NoMachine, view: str, **values: str) -> BaseResponse:
    context.say("shell.no_machine", good=False, name=str(error)[:MOST_REPEATED])
    return context.go(view, **values)


def _wanted(context: RequestContext) -> tuple[Role, list[str] | None]:
    try:
        role = Role(request.form.get("role", ""))
    except ValueError:
        raise BadRequest from None
    chosen = {*request.form.getlist("machines"), *request.form.get("more", "")[:MOST_TYPED].split()}
    with context.read() as session:
        unknown = chosen - readers.known(session, context.about().merchant_id, chosen)
    if unknown:
        raise NoMachine(min(unknown))
    return role, (sorted(chosen) if role is Role.TECHNICIAN else None)


def _held(tx: Transaction, user_id: str, merchant_id: str) -> dict[str, object]:
    row = tx.session.scalar(
        select(Membership).where(Membership.user_id == user_id, Membership.merchant_id == merchant_id)
    )
    return {"role": row.role if row else None, "machines": row.machines if row else None}


def _must_manage(context: RequestContext, tx: Transaction, user_id: str) -> None:
    if not users.may_manage(context.person, tx.session, user_id):
        raise users.NotAllowed("above_own_role")


def _managed(
    context: RequestContext, work: Callable[[Transaction], Done[Any]], member_id: str, said: str
) -> BaseResponse:
    try:
        context.perform(Act.MANAGE_USERS, context.about(), "", work)
    except users.NotAllowed as error:
        return _refused(context, error)
    context.say(said)
    return context.go("people.show", member_id=member_id)


def _refused(context: RequestContext, error: users.NotAllowed) -> BaseResponse:
    context.say(f"people.{error}", good=False)
    return context.go("people.everybody")


def _link(context: RequestContext, token: str) -> str:
    return f"{context.cloud.settings.public_url}{PATH}/welcome/{token}"
