"""The event stream over a real socket: what is sent, what resumes, what ends it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from flask.testing import FlaskClient

from cloud.buyer import stream, versions
from cloud.buyer.order_view import CHECKING, RESERVED
from cloud.buyer.page_state import page_state
from cloud.buyer.services import Services
from cloud.fleet.availability import OFFLINE
from cloud.orders import making, paying
from cloud.orders.states import FINAL
from cloud.orders.tasks import BY_HAND, DONE
from protocol.reasons import RejectCode, Result, Spout, Stage
from tests.cloud.buyer.orders import RULES, Orders
from tests.waiting import wait_until


@dataclass
class Reader:
    """Reads a stream in a thread of its own."""

    response: HTTPResponse
    events: list[dict[str, str]] = field(default_factory=list)
    beats: list[dict[str, str]] = field(default_factory=list)
    over: bool = False
    left: bool = False
    """We hung up, maybe in the middle of an event; http.client notices in its own ways."""

    def read(self) -> None:
        event: dict[str, str] = {}
        try:
            for line in self.response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if not name and event:
                    (self.beats if event.get("event") == "beat" else self.events).append(event)
                    event = {}
                elif name and name != "retry":
                    event[name] = value
        except (ValueError, OSError, AttributeError, HTTPException):
            if not self.left:
                raise
        self.over = True

    @property
    def statuses(self) -> list[str]:
        return [self.told(n)["status"] for n, event in enumerate(self.events) if "event" not in event]

    def told(self, number: int = -1) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.events[number]["data"])
        return data


Follow = Callable[..., Any]


@pytest.fixture
def follow(site: str) -> Follow:
    address = urlsplit(site)

    @contextmanager
    def follow(order_id: str, last_seen: str = "", known: str = "", **headers: str) -> Iterator[Reader]:
        connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
        connection.connect()
        its_socket = connection.sock  # the connection forgets it once the answer has begun
        if last_seen:
            headers["Last-Event-ID"] = last_seen
        path = f"/v1/orders/{quote(order_id, safe='')}/events?known={quote(known)}"
        connection.request("GET", path, headers=headers)
        reader = Reader(connection.getresponse())
        thread = threading.Thread(target=reader.read)
        if reader.response.status == 200:
            thread.start()
        yield reader
        reader.left = True
        with suppress(OSError):  # the other side was first
            its_socket.shutdown(socket.SHUT_RDWR)
        if thread.ident:
            thread.join()
        reader.response.close()
        connection.close()

    return follow


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gone reader is noticed by a heartbeat; here heartbeats are quick."""
    monkeypatch.setattr(versions, "LOOK_S", 0.1)
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.2)


def test_the_present_state_comes_first_and_changes_follow(orders: Orders, follow: Follow) -> None:
    orders.sent()
    with follow("o-1") as reader:
        assert reader.response.headers["Content-Type"].startswith("text/event-stream")
        wait_until(lambda: reader.statuses == ["make_pending"], what="the present state")
        assert reader.events[0]["id"] == str(orders.order("o-1").version)

        orders.outcome("o-1", Result.DONE, out=Spout.FULL)

        wait_until(lambda: reader.over, what="the end of the stream")
        assert reader.statuses == ["make_pending", "successful"]
        assert reader.events[-1]["event"] == "end"


def test_the_data_is_what_the_status_json_says(orders: Orders, follow: Follow, site: str) -> None:
    orders.making(stage=Stage.MILK, pct=42)
    with follow("o-1", **{"Accept-Language": "en"}) as reader:
        wait_until(lambda: reader.events, what="the first event")

    assert reader.told()["drink_size"] == "medium"
    assert (reader.told()["stage"], reader.told()["progress"]) == ("milk", 42)
    assert {"version", "reason", "return", "device"} <= reader.told().keys()


def test_a_reader_who_has_seen_this_version_waits_for_the_next(orders: Orders, follow: Follow) -> None:
    orders.sent()
    with follow("o-1", last_seen=str(orders.order("o-1").version)) as reader:
        wait_until(lambda: reader.beats, what="a heartbeat")
        assert reader.events == []

        orders.outcome("o-1", Result.REJECTED, "no_milk")

        wait_until(lambda: reader.events, what="the news")
        assert reader.statuses == ["make_failed"]


@pytest.mark.parametrize("last_seen", ["1", "nonsense", "999", "-1", pytest.param("9" * 4301, id="endless")])
def test_a_reader_who_missed_something_is_told_at_once(orders: Orders, follow: Follow, last_seen: str) -> None:
    orders.sent()
    with follow("o-1", last_seen=last_seen) as reader:
        wait_until(lambda: reader.statuses == ["make_pending"], what="the present state")


def test_news_come_without_any_wake_up(orders: Orders, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders.database.wakeups, "wake", lambda topics: None)
    orders.sent()
    with follow("o-1") as reader:
        wait_until(lambda: reader.events, what="the present state")
        orders.outcome("o-1", Result.DONE, out=Spout.FULL)

        wait_until(lambda: "successful" in reader.statuses, what="the news by looking")


def test_a_final_order_ends_its_stream_at_once(orders: Orders, follow: Follow) -> None:
    orders.successful()
    version = str(orders.order("o-1").version)
    with follow("o-1", last_seen=version) as reader:
        wait_until(lambda: reader.over, what="the end")

    assert [event.get("event") for event in reader.events] == ["end"]
    assert reader.events[0]["data"]


@pytest.mark.parametrize("obstacle", ["", CHECKING, RESERVED, RejectCode.BUSY, "rinsing", OFFLINE])
def test_no_page_follows_an_order_whose_stream_ends_at_once(orders: Orders, services: Services, obstacle: str) -> None:
    final = replace(services.order(orders.not_paid()), obstacle=obstacle)
    for status in FINAL:
        assert not page_state(replace(final, status=status), orders.clock()).follow, status


def test_a_stream_lasts_until_the_money_is_back(orders: Orders, follow: Follow) -> None:
    orders.make_failed()
    with follow("o-1") as reader:
        wait_until(lambda: reader.beats, what="a heartbeat")
        assert reader.told()["return"]["status"] == "in_progress"
        assert not reader.over

        orders.returned("o-1")

        wait_until(lambda: reader.over, what="the end")
        assert reader.told(-2)["return"]["status"] == "done"


def grace_ends(orders: Orders) -> None:
    orders.clock.forward(RULES.uncertain_grace_s + 1)
    orders.database.transact(making.end_grace, "o-1", RULES, orders.clock())


def a_person_takes_over(orders: Orders) -> None:
    grace_ends(orders)
    orders.return_ends("o-1", BY_HAND)


@pytest.mark.parametrize("moves", [grace_ends, a_person_takes_over])
def test_a_return_that_moved_while_the_line_was_down_is_told(
    orders: Orders, follow: Follow, moves: Callable[[Orders], None]
) -> None:
    """It may move without the order's version."""
    orders.uncertain()
    version = str(orders.order("o-1").version)
    moves(orders)
    with follow("o-1", last_seen=version) as reader:
        wait_until(lambda: reader.events, what="the return as it is now")
        assert reader.told()["return"]["status"] == "in_progress"
        assert (reader.told()["return"]["expected_by"] is None) is (moves is a_person_takes_over)


def test_a_return_that_ended_while_the_line_was_down_is_told_before_the_end(orders: Orders, follow: Follow) -> None:
    """Found by asking, the refund was in our books before the answer to our own call was."""
    orders.make_failed()
    payment = orders.payments("o-1")[-1]
    orders.database.transact(paying.record_refund_succeeded, payment.id, "r-1", payment.captured, orders.clock())
    version = str(orders.order("o-1").version)
    orders.return_ends("o-1", DONE)
    with follow("o-1", last_seen=version) as reader:
        wait_until(lambda: reader.over, what="the end")
    assert [event.get("event") for event in reader.events] == [None, "end"]
    assert reader.told(0)["return"]["status"] == "done"


def test_any_order_id_can_be_followed(orders: Orders, follow: Follow) -> None:
    orders.successful("a/b?c//d")
    with follow("a/b?c//d") as reader:
        wait_until(lambda: reader.over, what="the end")

    assert reader.told(0)["order_id"] == "a/b?c//d"


def test_an_unknown_order_has_no_stream(orders: Orders, follow: Follow) -> None:
    with follow("nobody") as reader:
        assert reader.response.status == 404


def test_there_are_so_many_seats_and_they_are_given_back(orders: Orders, follow: Follow, services: Services) -> None:
    orders.sent()
    with follow("o-1") as first, follow("o-1"):
        wait_until(lambda: first.events, what="the first stream")
        with follow("o-1") as third:
            assert third.response.status == 503
            assert int(third.response.headers["Retry-After"]) > 0
            assert json.loads(third.response.read())["error"]["code"] == "too_many_streams"

    wait_until(lambda: services.streams.taken == 0, what="the seats given back")
    with follow("o-1") as again:
        assert again.response.status == 200


@pytest.mark.parametrize("place", ["last_seen", "known"])
def test_no_strange_number_keeps_a_seat(orders: Orders, follow: Follow, services: Services, place: str) -> None:
    """Regression: a number longer than Python reads took a seat for good."""
    orders.sent()
    for _ in range(3):  # more than one address may have
        with follow("o-1", **{place: "1" * 4301}) as reader:
            assert reader.response.status == 200
            wait_until(lambda: reader.statuses == ["make_pending"], what="the present state")
        wait_until(lambda: services.streams.taken == 0, what="the seat given back")


def test_a_seat_is_given_back_when_the_answer_cannot_be_made(
    orders: Orders, client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: what failed after a seat was taken kept it."""
    orders.sent()

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stream, "stream_with_context", fail)
    client.get("/v1/orders/o-1/events")
    assert services.streams.taken == 0


def test_what_the_address_says_counts_where_the_header_says_no_version(orders: Orders, follow: Follow) -> None:
    """A header that says no version counts as none."""
    orders.sent()
    with follow("o-1", last_seen="nonsense", known=str(orders.order("o-1").version)) as reader:
        wait_until(lambda: reader.beats, what="a heartbeat")
        assert reader.events == []


def test_nobody_keeps_or_buffers_a_stream(orders: Orders, follow: Follow) -> None:
    orders.successful()
    with follow("o-1") as reader:
        assert reader.response.headers["Cache-Control"] == "no-cache"
        assert reader.response.headers["X-Accel-Buffering"] == "no"


def test_a_long_stream_ends_and_resumes(orders: Orders, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_S", 0.3)
    orders.sent()
    with follow("o-1") as reader:
        wait_until(lambda: reader.over, what="the end of a long stream")
        assert [event.get("event") for event in reader.events] == [None]
