"""Clients that take their time, by the hundred, at a real `coffee-cloud run`: everybody else is served meanwhile."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from cloud.http.request_framing import MAX_BODY
from cloud.http.whole_requests import LARGE_ONES
from cloud.processes.server import KEPT_ALIVE
from tests.deploy.running_cloud import Client, RunningCloud
from tests.waiting import wait_until

MANY = 800
"""More than the program has threads, and more than it has places for connections."""
BEGUN = b"POST /v1/tbank-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
WHOLE = b"POST /v1/tbank-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
FILE = b"POST /console/settings/north/import HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def is_healthy(running_cloud: RunningCloud) -> bool:
    return requests.get(running_cloud.url + "/health", timeout=8).status_code == 200


@contextmanager
def halted(process: str) -> Iterator[None]:
    """What happens meanwhile, the process finds all at once."""
    state = Path(f"/proc/{process}/stat")
    os.kill(int(process), signal.SIGSTOP)
    try:
        wait_until(lambda: state.read_text().rpartition(") ")[2][0] == "T", what="the process halted")
        yield
    finally:
        os.kill(int(process), signal.SIGCONT)


def test_who_does_not_finish_takes_nobodys_place(running_cloud: RunningCloud) -> None:
    beginnings = [b"", b"GET /health HT", BEGUN, BEGUN.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")]
    with ExitStack() as closing:
        slow = [
            closing.enter_context(Client(running_cloud.port, said)) for said in beginnings * (MANY // len(beginnings))
        ]
        assert [is_healthy(running_cloud) for _ in range(5)] == [True] * 5
        with Client(running_cloud.port, WHOLE) as honest:
            assert honest.statuses(1) == [400]
        assert all(client.hears_the_end() for client in slow)  # also the last of them, after a while


def test_who_is_let_go_may_have_said_more_at_that_moment(running_cloud: RunningCloud) -> None:
    """Regression: the event of a connection just closed ended the process, and with it all event streams."""
    child = running_cloud.child()
    with ExitStack() as closing:
        waiting = [closing.enter_context(Client(running_cloud.port, HEALTH[:9])) for _ in range(KEPT_ALIVE)]
        assert is_healthy(running_cloud)
        with halted(child):
            newcomers = [closing.enter_context(Client(running_cloud.port, HEALTH[:9])) for _ in range(20)]
            for client in waiting:
                with suppress(ConnectionError):  # let go already
                    client.say(HEALTH[9:10])
        assert is_healthy(running_cloud)
        newcomers[-1].say(HEALTH[9:])
        assert newcomers[-1].statuses(1) == [200]
    assert running_cloud.child() == child


def test_who_never_hangs_up_holds_nobody_up(running_cloud: RunningCloud) -> None:
    last = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with ExitStack() as closing:
        lingering = [closing.enter_context(Client(running_cloud.port, last)) for _ in range(100)]
        assert [client.statuses(1) for client in lingering] == [[200]] * 100
        assert is_healthy(running_cloud)


def test_who_asks_and_never_listens_loses_the_line(running_cloud: RunningCloud) -> None:
    page = b"GET /m/nowhere HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"
    with Client(running_cloud.port, b"") as client:
        client.talk_until_cut_off(page * 100)
        assert is_healthy(running_cloud)


def test_a_request_in_pieces_is_served_when_it_is_whole(running_cloud: RunningCloud) -> None:
    with Client(running_cloud.port, WHOLE[:1]) as client:
        for byte in WHOLE[1:]:
            client.say(bytes([byte]))
        assert client.statuses(1) == [400]
        client.say(HEALTH)
        assert client.statuses(2) == [400, 200]


def test_requests_that_come_together_are_all_answered(running_cloud: RunningCloud) -> None:
    with Client(running_cloud.port, WHOLE + HEALTH + HEALTH + WHOLE[:20]) as client:
        assert client.statuses(3) == [400, 200, 200]
        client.say(WHOLE[20:])
        assert client.statuses(4)[3:] == [400]


def test_of_large_requests_there_is_room_for_a_few_and_for_others_later(running_cloud: RunningCloud) -> None:
    begun, body = FILE % (2 * MAX_BODY), b"x" * (2 * MAX_BODY)
    with ExitStack() as closing:
        oldest = closing.enter_context(Client(running_cloud.port, begun))
        assert is_healthy(running_cloud)  # by now it knows of it
        clients = [closing.enter_context(Client(running_cloud.port, begun)) for _ in range(LARGE_ONES)]
        assert oldest.statuses(1) == [408]
        for client in clients:
            client.say(body)
            assert client.statuses(1) == [413], "whole; and of a stranger, whom the application lets send no file"
        with Client(running_cloud.port, begun + body) as another:
            assert another.statuses(1) == [413]


def test_who_asks_before_sending_is_told_to_go_on(running_cloud: RunningCloud) -> None:
    head, body = WHOLE.split(b"\r\n\r\n")
    with Client(running_cloud.port, head + b"\r\nExpect: 100-continue\r\n\r\n") as client:
        assert client.statuses(1) == [100]
        client.say(body)
        assert client.statuses(2) == [100, 400]


def test_chunks_are_put_together(running_cloud: RunningCloud) -> None:
    head = WHOLE.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked").split(b"\r\n\r\n")[0]
    with Client(running_cloud.port, head + b"\r\n\r\n1\r\n{\r\n") as client:
        client.say(b"1;x=y\r\n}\r\n0\r\nTrailer-Field: x\r\n\r\n")
        assert client.statuses(1) == [400]
        client.say(HEALTH)
        assert client.statuses(2) == [400, 200]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (WHOLE.replace(b"Length: 2", b"Length: 131073"), 413),
        (WHOLE.replace(b"Length: 2", b"Length: 2, 3"), 400),
        (WHOLE.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked\r\nContent-Length: 2"), 400),
        (HEALTH.replace(b"Host", b"Ho st"), 400),
        (b"GET /" + b"x" * 40_000, 431),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
    ],
    ids=["long body", "two lengths", "two kinds of length", "no field", "long line", "TLS"],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(
    running_cloud: RunningCloud, said: bytes, status: int
) -> None:
    with Client(running_cloud.port, said) as client:
        assert client.statuses(2) == [status]
