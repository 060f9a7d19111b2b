"""The way in and out: login, second step, step-up, invitation, logout. No request has a `RequestContext` yet."""

from datetime import datetime
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import passwords, sessions, users
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.login import Login, Refused
from cloud.access.person import Person
from cloud.buyer.texts import LANGUAGES
from cloud.console.shell import cookies
from cloud.console.shell.errors import UNDONE, is_inside
from cloud.console.shell.frame import Frame
from cloud.console.shell.guard import Guard
from cloud.console.shell.key_entrance import FIELD, KeyEntrance, browser
from cloud.console.shell.request_context import address
from cloud.database.transaction import Transaction
from cloud.wiring import Cloud


class Entrance:
    """Views for a person who is not, or only half, logged in."""

    def __init__(self, cloud: Cloud, frame: Frame, guard: Guard, login: Login, keys: KeyEntrance) -> None:
        self._cloud = cloud
        self._frame = frame
        self._guard = guard
        self._login = login
        self._keys = keys
        self._secure = cloud.settings.public_url.startswith("https:")

    def add_to(self, blueprint: Blueprint) -> None:
        for path, view in (
            ("/login", self.login),
            ("/second-step", self.second_step),
            ("/confirm", self.confirm),
            ("/welcome/<token>", self.welcome),
        ):
            blueprint.add_url_rule(path, f"shell_{view.__name__}", view, methods=["GET", "POST"])
        blueprint.add_url_rule("/logout", "shell_logout", self.logout, methods=["POST"])
        blueprint.add_url_rule("/taste", "shell_taste", self.taste, methods=["POST"])
        blueprint.add_url_rule("/", "shell_home", self.home, strict_slashes=False)

    def home(self) -> BaseResponse:
        """To the first page of this person."""
        person = self._guard.person()
        return redirect(self._frame.home(person) if person else address("shell.login"), 303)

    def login(self) -> BaseResponse:
        """E-mail and password."""
        if request.method == "GET":
            if self._guard.person() is not None:
                return self._onward()
            return self._page("login")
        form = request.form
        address_, agent = self._guard.visitor(), request.headers.get("User-Agent", "")
        try:
            if FIELD in form:
                entered = self._keys.login.enter(form[FIELD], browser(), address_, agent)
            else:
                email = form.get("email", "")[:255]
                browser_ = self._guard.browser(email)
                entered = self._login.enter(email, form.get("password", ""), address_, agent, browser_)
        except Refused as refused:
            return self._page("login", refused, email=form.get("email", "")[:255])
        where = address("shell.second_step", next=_next() or None) if entered.asks_code else self._where()
        return cookies.give_token(redirect(where, 303), entered.token, secure=self._secure)

    def show_login(self, refused: Refused) -> BaseResponse:
        """The login's page, with why another way in was refused."""
        return self._page("login", refused)

    def second_step(self) -> BaseResponse:
        """The code."""
        person = self._guard.half()
        if person is None:
            return redirect(address("shell.login"), 303)
        if request.method == "GET":
            return self._page("second_step", by_key=person.has_passkey)
        try:
            if FIELD in request.form:
                token = self._keys.login.second_step(person, request.form[FIELD])
            else:
                token = self._login.second_step(person, request.form.get("code", ""))
        except Refused as refused:
            return self._page("second_step", refused, by_key=person.has_passkey)
        return cookies.give_token(self._onward(), token, secure=self._secure)

    def confirm(self) -> BaseResponse:
        """The same again, before what is important."""
        person = self._guard.person()
        if person is None:
            return redirect(address("shell.login"), 303)
        by: dict[str, Any] = {"by_code": person.has_second_factor, "by_key": person.has_passkey}
        if request.method == "GET":
            return self._page("confirm", **by)
        form = request.form
        try:
            if FIELD in form:
                self._keys.login.confirm(person, form[FIELD])
            else:
                self._login.confirm(person, form.get("password", ""), form.get("code", ""))
        except Refused as refused:
            return self._page("confirm", refused, **by)
        if UNDONE in request.args:
            self._say("shell.undone", "warn")
        return self._onward()

    def welcome(self, token: str) -> BaseResponse:
        """An invited person chooses a password."""
        with self._cloud.database.read() as session:
            user = users.invited(session, token, self._cloud.clock())
        if user is None:
            return self._page("welcome", status=410, user=None)
        password = request.form.get("password", "")
        problem = passwords.problem(password, user.email) if request.method == "POST" else ""
        if request.method == "GET" or problem:
            return self._page("welcome", user=user, problem=problem and f"shell.password_{problem}")
        if self._cloud.database.transact(self._take_invitation, token, passwords.hash_of(password)):
            self._say("shell.password_set")
        return redirect(address("shell.login"), 303)

    def logout(self) -> BaseResponse:
        """End this session."""
        seen = self._guard.who()
        if seen is not None:
            self._cloud.database.transact(self._end, seen.person)
        self._say("shell.logged_out")
        return cookies.take_token(redirect(address("shell.login"), 303), secure=self._secure)

    def taste(self) -> BaseResponse:
        """Another language, before any login."""
        response = redirect(self._where(), 303)
        language = request.form.get("language", "")
        if language in LANGUAGES:
            cookies.keep_taste(response, cookies.LANGUAGE, language, secure=self._secure)
        return response

    def _take_invitation(self, tx: Transaction, token: str, password_hash: str) -> bool:
        now = self._cloud.clock()
        user = users.take_invitation(tx, token, password_hash, now)
        if user is not None:
            author = Author(user.id, user.name or user.email, self._guard.visitor())
            record(tx, Entry("password", author, Subject("user", user.id)), now)
        return user is not None

    def _end(self, tx: Transaction, person: Person) -> None:
        sessions.end(tx, person.user_id, self._cloud.clock(), person.session_id)

    def _onward(self) -> BaseResponse:
        return redirect(self._where(), 303)

    def _where(self) -> str:
        return _next() or address("shell.home")

    def _say(self, key: str, kind: str = "good") -> None:
        flash(str(self._frame.texts(self._guard.language(), self._cloud.clock())(key)), kind)

    def _page(self, name: str, refused: Refused | None = None, *, status: int = 200, **values: Any) -> BaseResponse:
        now = self._cloud.clock()
        texts = self._frame.texts(self._guard.language(), now)
        if refused is not None:
            status = 429 if refused.why == "wait" else 400
            values["problem_text"] = texts(f"shell.{refused.why}", left=_left(texts, refused.until, now))
        html = render_template(
            f"console/shell/{name}.html",
            **self._frame.outside(texts),
            next=_next(),
            is_fragment=False,
            here=request.path,
            **values,
        )
        return make_response(html, status)


def _left(texts: Any, until: datetime | None, now: datetime) -> object:
    if until is None:
        return ""
    return f"{max(1, int((until - now).total_seconds()))}\u00a0" + ("с" if texts.language == "ru" else "s")


def _next() -> str:
    """Where to go afterwards; only ever into the console."""
    wanted = request.values.get("next", "")
    return wanted if is_inside(wanted) else ""
