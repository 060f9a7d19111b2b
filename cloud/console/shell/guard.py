"""What stands before every page: same origin and CSRF for forms, a live session, and the right its route declares."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, g, redirect, request
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, Forbidden, NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import sessions
from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.access.known_browsers import KnownBrowsers
from cloud.access.person import NOTHING, Person, Scope
from cloud.access.tokens import new_id
from cloud.buyer.headers import is_own
from cloud.buyer.texts import Language
from cloud.console.shell import cookies
from cloud.console.shell.frame import Frame
from cloud.console.shell.request_context import NeedsConfirmation, RequestContext, address, narrowed
from cloud.console.shell.section import Route
from cloud.console.shell.texts import DEFAULT_ZONE
from cloud.fleet.models import Device, Merchant
from cloud.fleet.zones import zone as zone_named
from cloud.http.request_framing import MAX_BODY, most_of
from cloud.wiring import Cloud

FRAGMENT = "HX-Request"
SETS_UP = frozenset(
    {
        "account_second_factor_page", "account_set_up_second_factor", "account_taste",
        "account_new_passkey", "account_passkey_options", "account_add_passkey",
    }
)  # fmt: skip
"""What is open to a person who must set up a second factor first."""


@dataclass(frozen=True)
class Guard:
    """Looks at every request before its view does."""

    cloud: Cloud
    frame: Frame
    csrf: CSRFProtect
    visitor: Callable[[], str]
    browsers: KnownBrowsers

    def no_strangers(self) -> None:
        """A form is taken only from a page of ours, with the token that page was given."""
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return
        if not is_own(request, self.cloud.settings.public_url):
            raise Forbidden
        most = most_of(request.method, request.path)
        if most > MAX_BODY and self.person() is not None:
            request.max_content_length = request.max_form_memory_size = most
        self.csrf.protect()

    def who(self) -> sessions.Seen | None:
        """The session of this request; found once."""
        if "seen" not in g:
            now = self.cloud.clock()
            with self.cloud.database.read() as session:
                g.seen = sessions.find(session, cookies.token(), now)
            if g.seen is not None and g.seen.is_due:
                self.cloud.database.transact(sessions.touch, g.seen.person.session_id, now)
        seen: sessions.Seen | None = g.seen
        return seen

    def person(self) -> Person | None:
        """The person, fully logged in."""
        seen = self.who()
        return self._here(seen.person) if seen is not None and seen.is_complete else None

    def half(self) -> Person | None:
        """The person, after the first step of two."""
        seen = self.who()
        return self._here(seen.person) if seen is not None and not seen.is_complete else None

    def language(self) -> Language:
        """The person's language, for pages that are shown without a `RequestContext`, and when all else fails."""
        try:
            seen = self.who()
        except SQLAlchemyError:
            seen = None
        return cookies.language(seen.person.language if seen is not None else "")

    def browser(self, email: str) -> str:
        """What this account calls the browser that asks; "" for one it was never entered by."""
        return self.browsers.name(cookies.browser(), email)

    def know_browser(self, response: Response) -> Response:
        """Let an account know the browser it was just entered by."""
        seen: sessions.Seen | None = g.get("seen")
        if seen is not None and seen.is_complete and not self.browser(seen.person.email):
            known = self.browsers.entered(cookies.browser(), seen.person.email, new_id())
            cookies.keep_browser(response, known, secure=self.cloud.settings.public_url.startswith("https:"))
        return response

    def _here(self, person: Person) -> Person:
        return replace(person, address=self.visitor(), browser=self.browser(person.email))

    def stand_before(self, route: Route, name: str) -> Callable[..., Any]:
        """The view of a route, behind its guard."""

        @wraps(route.view)
        def guarded(**named: str) -> Any:
            person = self.person()
            if person is None:
                return to_login(half=self.half() is not None)
            if person.must_set_up and name not in SETS_UP:
                return leave_for(address("account.second_factor_page"))
            context = self._context(route, person, named)
            if route.asks_who and not person.has_just_confirmed(context.now):
                raise NeedsConfirmation
            return route.view(context, **named)

        return guarded

    def _context(self, route: Route, person: Person, named: dict[str, str]) -> RequestContext:
        now = self.cloud.clock()
        subject = self._subject(route, named)
        self._check(route.act, person, subject)
        scope = NOTHING if route.act is Act.OWN_ACCOUNT else narrowed(person.scope(route.act))
        zone = self._zone(subject, person, scope)
        texts = self.frame.texts(cookies.language(person.language), now, zone)
        return RequestContext(self.cloud, person, now, texts, scope, subject, self.frame.template_values)

    def _subject(self, route: Route, named: dict[str, str]) -> Subject | None:
        if route.of is None:
            return None
        with self.cloud.database.read() as session:
            subject = route.of.find(session, named[route.of.argument])
        if subject is None:
            raise NotFound
        return subject

    def _zone(self, subject: Subject | None, person: Person, scope: Scope) -> ZoneInfo:
        """The time of what the page is about: its machine's, its merchant's, the one merchant's of this person."""
        whole = scope.merchants or frozenset(one.merchant_id for one in person.held)
        merchant_id = subject.merchant_id if subject else next(iter(whole)) if len(whole) == 1 else ""
        if not merchant_id:
            return DEFAULT_ZONE
        with self.cloud.database.read() as session:
            merchant = session.scalar(select(Merchant.zone).where(Merchant.id == merchant_id)) or ""
            machine = ""
            if subject is not None and subject.device_uuid:
                query = select(Device.zone).where(Device.device_uuid == subject.device_uuid)
                machine = session.scalar(query) or ""
        return zone_named(machine or merchant)

    @staticmethod
    def _check(act: Act, person: Person, subject: Subject | None) -> None:
        if subject is None:
            if not person.may_somewhere(act):
                raise Forbidden
        elif not person.may(act, subject.merchant_id, subject.device_uuid):
            knows = person.is_admin or any(one.merchant_id == subject.merchant_id for one in person.held)
            raise Forbidden if knows else NotFound  # of a stranger's things not even that they are


def no_zeros() -> None:
    """Nobody types a zero byte, and PostgreSQL takes none, be it to keep or to look for."""
    if any("\0" in text for text in chain([request.path], *request.values.items(multi=True))):
        raise BadRequest


def to_login(*, half: bool) -> BaseResponse:
    """Lead to the login, and from there back."""
    back = request.full_path.rstrip("?") if request.method == "GET" and FRAGMENT not in request.headers else None
    return leave_for(address("shell.second_step" if half else "shell.login", next=back))


def leave_for(where: str) -> BaseResponse:
    """Lead the whole page there, also when only a part of it was asked for."""
    if FRAGMENT in request.headers:
        response = BaseResponse(status=204)
        response.headers["HX-Redirect"] = where
        return response
    return redirect(where, 303)
