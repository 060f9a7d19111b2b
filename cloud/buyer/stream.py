"""GET /v1/orders/<order_id>/events: the order's changes as Server-Sent Events. Wake-ups only shorten the wait.

A stream holds a thread, so seats are counted; whoever gets none is told to come back and polls meanwhile.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Response, request, stream_with_context

from cloud.buyer.claim_page import with_claim
from cloud.buyer.errors import RETRY_AFTER_S, asked_language, render_error
from cloud.buyer.order_view import OrderView
from cloud.buyer.services import Services
from cloud.buyer.status_json import encoded
from cloud.buyer.template_context import BEAT_S, key_of, needs_the_machine, render_part
from cloud.buyer.texts import Language
from cloud.buyer.versions import Follower

HEARTBEAT_S = BEAT_S
"""A gone browser is noticed by it too."""
LOOK_AT_RETURN_S = 10.0
"""How a return goes may change without the order's version."""
LONGEST_S = 600.0
"""Then the browser connects anew by itself and resumes."""
BROWSER_RETRY_MS = 2000
_VERSION = re.compile(r"[0-9]{1,18}")
"""Longer than any version; what is longer still, Python may refuse to read."""


class Events:
    """The event stream's view."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def stream(self, order_id: str) -> Response:
        """The stream of one order."""
        self._services.order(order_id)
        follower = _Follower(self._services, order_id, asked_language(), wants_views="view" in request.args)
        events = follower.events(_known_version())
        leave = self._services.streams.take(self._services.visitor())
        if leave is None:
            response = render_error(503, "too_many_streams")
            response.headers["Retry-After"] = str(RETRY_AFTER_S[503])
            return response
        with ExitStack() as on_failure:
            on_failure.callback(leave)
            response = Response(stream_with_context(events), mimetype="text/event-stream")
            response.headers["Cache-Control"] = "no-cache"
            response.headers["X-Accel-Buffering"] = "no"
            response.call_on_close(on_failure.pop_all().close)
        return response


def _known_version() -> int | None:
    """The version the reader has; what says none is passed over."""
    said = (request.headers.get("Last-Event-ID", ""), request.args.get("known", ""))
    return next((int(text) for text in said if _VERSION.fullmatch(text)), None)


class _Follower:
    """Follows one order for one reader: a program, or our page, which gets what it shows in the same breath."""

    def __init__(self, services: Services, order_id: str, language: Language, *, wants_views: bool) -> None:
        self._services = services
        self._order_id = order_id
        self._language = language
        self._wants_views = wants_views
        self._key = ""

    def events(self, known: int | None) -> Iterator[str]:
        """What the reader has not seen, as it happens; `known` is the version it has: of a return it tells nothing."""
        yield f"retry: {BROWSER_RETRY_MS}\n\n"
        with self._services.versions.follow(self._order_id) as follower:
            yield from self._follow(follower, known)

    def _follow(self, follower: Follower, known: int | None) -> Iterator[str]:
        ends_at = time.monotonic() + LONGEST_S
        told = ""
        while time.monotonic() < ends_at:
            view = self._services.find(self._order_id)
            if view is None:
                return
            follower.seen(view.version)
            data = encoded(view, self._language).decode()
            may_be_news = view.version != known or view.money_back is not None
            if data != told and (told or may_be_news):
                yield self._news(view, data)
            told = data
            if view.is_final and not view.returning:
                yield f'id: {view.version}\nevent: end\ndata: {{"version": {view.version}}}\n\n'
                return
            if self._services.versions.is_over:
                return
            yield from self._wait(follower, view, ends_at)

    def _news(self, view: OrderView, data: str) -> str:
        """On a slow line, sending the page's new part at once saves it the time to ask for it."""
        key, self._key = self._key, key_of(view)
        if not self._wants_views or key == self._key or needs_the_machine(view):
            return f"id: {view.version}\ndata: {data}\n\n"
        view = self._services.with_forecast(with_claim(self._services, view))
        lines = render_part(view, self._services.clock()).splitlines()
        part = "\n".join(f"data: {line}" for line in lines if line.strip())
        return f"id: {view.version}\nevent: view\n{part}\n\n"

    def _wait(self, follower: Follower, view: OrderView, ends_at: float) -> Iterator[str]:
        """Heartbeats until there is something to look at."""
        looks_at = min(ends_at, time.monotonic() + LOOK_AT_RETURN_S) if view.returning else ends_at
        while not follower.wait(min(HEARTBEAT_S, looks_at - time.monotonic())):
            if time.monotonic() >= looks_at:
                return
            yield "event: beat\ndata: 1\n\n"
