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
from cloud.access.person import Scope
from cloud.console.account.browser import name_of
from cloud.console.people import readers
from cloud.console.people.readers import MEMBER
from cloud.console.people.texts_en import EN
from cloud.console.people.texts_ru import RU
from cloud.console.shell.cookies import PATH
from cloud.console.shell.desk import MOST_REPEATED, Desk, Done
from cloud.console.shell.kinds import MERCHANT
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction

section = Section("people", {"ru": RU, "en": EN}, Nav("people.everybody", Act.MANAGE_USERS, icon="people", order=80))

MOST_TYPED = 20_000
"""Characters of machines' names."""


class NoMachine(Exception):
    """The merchant has none of this name."""


@section.page("/people", Act.MANAGE_USERS)
def everybody(desk: Desk) -> str:
    """Everybody, by merchant."""
    with desk.read() as session:
        found = readers.members(session, desk.scope)
        merchants = readers.merchants(session, desk.scope)
    return desk.render("people/list.html", members=found, merchants_here=merchants)


@section.page("/people/invite/<merchant_id>", Act.MANAGE_USERS, MERCHANT, confirmed=True)
def invitation(desk: Desk, merchant_id: str) -> str:
    """Name somebody new."""
    with desk.read() as session:
        machines = readers.machines(session, merchant_id)
    roles = users.grantable(desk.person, merchant_id)
    return desk.render("people/invite.html", merchant_id=merchant_id, roles=roles, machines=machines)


@section.act("/people/invite/<merchant_id>", Act.MANAGE_USERS, MERCHANT)
def invite(desk: Desk, merchant_id: str) -> str | BaseResponse:
    """Give somebody a role; who is new gets a link, shown this once. Who was disabled stays so, and that is said."""
    email, name = request.form.get("email", "").strip()[:255], request.form.get("name", "").strip()[:255]
    if "@" not in email:
        raise BadRequest
    try:
        role, machines = _wanted(desk)
    except NoMachine as error:
        return _no_machine(desk, error, "people.invitation", merchant_id=merchant_id)

    def work(tx: Transaction) -> Done[tuple[str, bool]]:
        user, asks_link = users.invitee(tx, email, name, desk.person, desk.now)
        before = _held(tx, user.id, merchant_id)
        users.give_role(tx, user.id, merchant_id, role, machines, desk.person)
        token = users.invite(tx, user.id, desk.now) if asks_link else ""
        after = {"role": role.value, "machines": machines}
        is_disabled = user.disabled_at is not None
        return Done((token, is_disabled), before, after, Subject("user", user.id, merchant_id))

    try:
        token, is_disabled = desk.perform(Act.MANAGE_USERS, desk.about(), "", work)
    except users.NotAllowed as error:
        return _refused(desk, error)
    if token:
        return desk.render("people/link.html", link=_link(desk, token), email=email)
    desk.say("people.given_disabled" if is_disabled else "people.given", good=not is_disabled)
    return desk.go("people.everybody")


@section.page("/people/<member_id>", Act.MANAGE_USERS, MEMBER, confirmed=True)
def show(desk: Desk, member_id: str) -> str:
    """One person: role, sessions, what can be done."""
    subject = desk.about()
    with desk.read() as session:
        [member] = readers.members(session, Scope(frozenset({subject.merchant_id})), int(member_id))
        live = readers.open_sessions(session, subject.id, desk.now)
        machines = readers.machines(session, subject.merchant_id, member.machines or ())
        manageable = users.may_manage(desk.person, session, subject.id)
    roles = users.grantable(desk.person, subject.merchant_id)
    return desk.render(
        "people/show.html", member=member, sessions=live, browser=name_of, roles=roles, machines=machines,
        manageable=manageable, removable=subject.id != desk.person.user_id and member.role in roles,
    )  # fmt: skip


@section.act("/people/<member_id>/role", Act.MANAGE_USERS, MEMBER)
def change_role(desk: Desk, member_id: str) -> BaseResponse:
    """Another role, or none any more."""
    subject, takes = desk.about(), "take" in request.form
    try:
        role, machines = (None, None) if takes else _wanted(desk)
    except NoMachine as error:
        return _no_machine(desk, error, "people.show", member_id=member_id)

    def work(tx: Transaction) -> Done[None]:
        before = _held(tx, subject.id, subject.merchant_id)
        if role is None:
            users.take_role(tx, subject.id, subject.merchant_id, desk.person)
        else:
            users.give_role(tx, subject.id, subject.merchant_id, role, machines, desk.person)
        return Done(None, before, {"role": role and role.value, "machines": machines})

    try:
        desk.perform(Act.MANAGE_USERS, subject, "", work)
    except users.NotAllowed as error:
        return _refused(desk, error)
    desk.say("people.taken" if takes else "people.given")
    return desk.go("people.everybody")


@section.act("/people/<member_id>/log-out", Act.MANAGE_USERS, MEMBER)
def log_out(desk: Desk, member_id: str) -> BaseResponse:
    """End all his sessions, at once."""
    subject = desk.about()

    def work(tx: Transaction) -> Done[int]:
        _must_manage(desk, tx, subject.id)
        return Done(sessions.end(tx, subject.id, desk.now), after={"sessions": "ended"})

    return _managed(desk, work, member_id, "people.logged_out")


@section.act("/people/<member_id>/disable", Act.MANAGE_USERS, MEMBER)
def disable(desk: Desk, member_id: str) -> BaseResponse:
    """Refuse him everywhere, or let him in again."""
    subject, enables = desk.about(), "enable" in request.form

    def work(tx: Transaction) -> Done[None]:
        _must_manage(desk, tx, subject.id)
        if enables:
            users.enable(tx, subject.id)
        else:
            users.disable(tx, subject.id, desk.now)
        return Done(None, {"disabled": enables}, {"disabled": not enables})

    return _managed(desk, work, member_id, "people.enabled" if enables else "people.disabled")


@section.act("/people/<member_id>/reset", Act.MANAGE_USERS, MEMBER)
def reset(desk: Desk, member_id: str) -> str | BaseResponse:
    """A link by which he chooses a new password; with it, if asked, a new second factor."""
    subject, anew = desk.about(), "second_factor" in request.form

    def work(tx: Transaction) -> Done[tuple[str, str]]:
        _must_manage(desk, tx, subject.id)
        token = users.reset(tx, subject.id, desk.now, with_second_factor=anew)
        return Done((token, tx.session.get_one(User, subject.id).email), after={"password": "changed", "second": anew})

    try:
        token, email = desk.perform(Act.MANAGE_USERS, subject, "", work)
    except users.NotAllowed as error:
        return _refused(desk, error)
    return desk.render("people/link.html", link=_link(desk, token), email=email)


@section.page("/support", Act.OPEN_SUPPORT_ACCESS, confirmed=True)
def support_page(desk: Desk) -> str:
    """Support accesses that are open, and a form to open one. The platform's admins only."""
    with desk.read() as session:
        opened = support.open_now(session, desk.scope, desk.now)
        merchants = readers.merchants(session, desk.scope)
    return desk.render("people/support.html", opened=opened, merchants_here=merchants)


@section.act("/support/open", Act.OPEN_SUPPORT_ACCESS)
def open_support(desk: Desk) -> BaseResponse:
    """For an hour, for a reason."""
    merchant_id, why = request.form.get("merchant_id", ""), request.form.get("why", "").strip()
    with desk.read() as session:
        subject = MERCHANT.find(session, merchant_id)
    if subject is None or not why:
        raise BadRequest

    def work(tx: Transaction) -> Done[None]:
        row = support.open_access(tx, desk.person, merchant_id, why, desk.now)
        return Done(None, after={"until": row.until.isoformat()})

    desk.perform(Act.OPEN_SUPPORT_ACCESS, subject, why, work)
    return desk.go("people.support_page")


@section.act("/support/<merchant_id>/end", Act.MANAGE_USERS, MERCHANT)
def end_support(desk: Desk, merchant_id: str) -> BaseResponse:
    """End it before its hour: the admin himself, or an owner who does not want it."""
    user_id = request.form.get("user_id", "")

    def work(tx: Transaction) -> Done[None]:
        support.end_access(tx, user_id, merchant_id, desk.now)
        return Done(None, after={"support_access": "ended"})

    desk.perform(Act.MANAGE_USERS, desk.about(), "", work)
    return desk.go("shell.home")


def _no_machine(desk: Desk, error: NoMachine, view: str, **values: str) -> BaseResponse:
    desk.say("shell.no_machine", good=False, name=str(error)[:MOST_REPEATED])
    return desk.go(view, **values)


def _wanted(desk: Desk) -> tuple[Role, list[str] | None]:
    try:
        role = Role(request.form.get("role", ""))
    except ValueError:
        raise BadRequest from None
    chosen = {*request.form.getlist("machines"), *request.form.get("more", "")[:MOST_TYPED].split()}
    with desk.read() as session:
        unknown = chosen - readers.known(session, desk.about().merchant_id, chosen)
    if unknown:
        raise NoMachine(min(unknown))
    return role, (sorted(chosen) if role is Role.TECHNICIAN else None)


def _held(tx: Transaction, user_id: str, merchant_id: str) -> dict[str, object]:
    row = tx.session.scalar(
        select(Membership).where(Membership.user_id == user_id, Membership.merchant_id == merchant_id)
    )
    return {"role": row.role if row else None, "machines": row.machines if row else None}


def _must_manage(desk: Desk, tx: Transaction, user_id: str) -> None:
    if not users.may_manage(desk.person, tx.session, user_id):
        raise users.NotAllowed("above_own_role")


def _managed(desk: Desk, work: Callable[[Transaction], Done[Any]], member_id: str, said: str) -> BaseResponse:
    try:
        desk.perform(Act.MANAGE_USERS, desk.about(), "", work)
    except users.NotAllowed as error:
        return _refused(desk, error)
    desk.say(said)
    return desk.go("people.show", member_id=member_id)


def _refused(desk: Desk, error: users.NotAllowed) -> BaseResponse:
    desk.say(f"people.{error}", good=False)
    return desk.go("people.everybody")


def _link(desk: Desk, token: str) -> str:
    return f"{desk.cloud.settings.public_url}{PATH}/welcome/{token}"
