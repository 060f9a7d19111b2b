"""GET /v1/orders/<order_id>/events: the order's changes as Server-Sent Events. Wake-ups only shorten the wait.

A stream holds a thread, so seats are counted; whoever gets none is told to come back and polls meanwhile.
"""

import json
import time
from collections.abc import Iterator

from flask import Response, request
from sqlalchemy import select

from cloud.buyer.errors import RETRY_AFTER_S, asked_language, render_error
from cloud.buyer.presenting import OrderView
from cloud.buyer.room import Room
from cloud.buyer.status_json import as_json
from cloud.buyer.texts import Language
from cloud.orders.change import order_topic
from cloud.orders.models import Order
from cloud.wake import Listener

LOOK_S = 1.0
"""A lost wake-up costs this much and no more."""
HEARTBEAT_S = 15.0
"""Proxies close what is silent for longer; a gone browser is noticed by it too."""
LOOK_AT_RETURN_S = 10.0
"""How a return goes may change without the order's version."""
LONGEST_S = 600.0
"""Then the browser connects anew by itself and resumes."""
BROWSER_RETRY_MS = 2000


class Events:
    """The event stream's view."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def stream(self, order_id: str) -> Response:
        """The stream of one order."""
        self._room.order(order_id)
        leave = self._room.streams.take(self._room.visitor())
        if leave is None:
            response = render_error(503, "too_many_streams")
            response.headers["Retry-After"] = str(RETRY_AFTER_S[503])
            return response
        known = request.headers.get("Last-Event-ID", "")
        body = _Follower(self._room, order_id, asked_language()).events(int(known) if known.isdecimal() else None)
        response = Response(body, mimetype="text/event-stream")
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        response.call_on_close(leave)
        return response


class _Follower:
    """Follows one order for one reader."""

    def __init__(self, room: Room, order_id: str, language: Language) -> None:
        self._room = room
        self._order_id = order_id
        self._language = language

    def events(self, known: int | None) -> Iterator[str]:
        """What the reader has not seen, as it happens; `known` is the version it has."""
        yield f"retry: {BROWSER_RETRY_MS}\n\n"
        with self._room.database.bell.listen(order_topic(self._order_id)) as ear:
            yield from self._follow(ear, known)

    def _follow(self, ear: Listener, known: int | None) -> Iterator[str]:
        ends_at = time.monotonic() + LONGEST_S
        told = ""
        while time.monotonic() < ends_at:
            view = self._room.find(self._order_id)
            if view is None:
                return
            data = json.dumps(as_json(view, self._language), ensure_ascii=False)
            if data != told and (told or view.version != known):
                yield f"id: {view.version}\ndata: {data}\n\n"
            told = data
            if view.is_final and not view.returning:
                yield f'id: {view.version}\nevent: end\ndata: {{"version": {view.version}}}\n\n'
                return
            yield from self._wait(ear, view, ends_at)

    def _wait(self, ear: Listener, view: OrderView, ends_at: float) -> Iterator[str]:
        """Heartbeats until there is something to look at."""
        spoke_at = waited_from = time.monotonic()
        while self._version() == view.version:
            now = time.monotonic()
            if now >= ends_at or (view.returning and now - waited_from >= LOOK_AT_RETURN_S):
                return
            if now - spoke_at >= HEARTBEAT_S:
                spoke_at = now
                yield ": still here\n\n"
            ear.wait(LOOK_S)

    def _version(self) -> int | None:
        with self._room.database.read() as session:
            return session.scalar(select(Order.version).where(Order.id == self._order_id))
