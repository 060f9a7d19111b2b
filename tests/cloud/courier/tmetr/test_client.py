"""The client of the Tmetr API against its simulator and against sockets that misbehave: what each answer proves."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from cloud.courier.tmetr.client import Forwarded, MakeOrder, Refused, TmetrClient
from cloud.courier.tmetr.http import MAX_ANSWER_BYTES, NotTaken, TmetrHttp, Unknown
from simulator.tmetr import Machine, TmetrSimulator
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.worlds import START
from tests.programs import free_port
from tests.waiting import wait_until

LATTE = MakeOrder("m-1", "o/1 ü", "latte", 2, 17900)


@pytest.fixture
def tmetr() -> Iterator[TmetrSimulator]:
    with TmetrSimulator([Machine("m-1", {"latte": (None, 15900, 17900)})], clock=lambda: START) as simulator:
        yield simulator


def _read_request(connection: socket.socket) -> None:
    """All of it: hanging up on unread bytes would be a reset."""
    with connection.makefile("rb") as asked:
        lines = list(iter(asked.readline, b"\r\n"))
        [length] = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
        asked.read(length)


def client_of(url: str, token: str = "test_tmetr_token", **how: float) -> TmetrClient:
    return TmetrClient(TmetrHttp(url, token, "coffee-relay/test"), **how)  # type: ignore[arg-type]  # the tests name real ones


@contextmanager
def a_server_that_says(*pieces: bytes, every_s: float = 0.0) -> Iterator[str]:
    """It takes one request, says this, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                _read_request(connection)
                try:
                    for piece in pieces:
                        time.sleep(every_s)
                        connection.sendall(piece)
                except OSError:
                    return  # the client had enough

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


def test_a_make_is_forwarded_with_exactly_what_the_order_asks_for(tmetr: TmetrSimulator) -> None:
    assert client_of(tmetr.url).make(LATTE) == Forwarded()
    [cup] = tmetr.cups()
    assert (cup.device_id, cup.order_uuid, cup.drink, cup.size, cup.price) == ("m-1", "o/1 ü", "latte", "BIG", 17900)
    [call] = tmetr.calls(Endpoint.MAKE)
    assert call["body"] == ('[{"deviceId":"m-1","orderUuid":"o/1 ü","drinkUuid":"latte","size":"big","price":17900}]')


def test_a_path_before_the_api_is_kept(tmetr: TmetrSimulator) -> None:
    assert client_of(f"{tmetr.url}/gateway").make(LATTE) == Refused("HTTP 404: NOT_FOUND, Not Found", 404)


def test_a_refusal_is_told_with_the_apis_own_words(tmetr: TmetrSimulator) -> None:
    tmetr.fault(FaultKind.REFUSE, Endpoint.MAKE)
    answer = client_of(tmetr.url).make(LATTE)
    assert isinstance(answer, Refused)
    assert "HTTP 400: DEVICE_NOT_AVAILABLE, the device cannot take commands" in answer.why
    assert tmetr.cups() == []


def test_a_wrong_token_is_refused_and_never_told(tmetr: TmetrSimulator) -> None:
    answer = client_of(tmetr.url, "wrong-token").make(LATTE)
    assert isinstance(answer, Refused)
    assert answer.status == 401
    assert "wrong-token" not in answer.why


def test_too_many_requests_may_be_tried_again(tmetr: TmetrSimulator) -> None:
    tmetr.fault(FaultKind.TOO_MANY_REQUESTS, Endpoint.MAKE)
    assert isinstance(client_of(tmetr.url).make(LATTE), NotTaken)


def test_nobody_listening_means_certainly_nothing_was_taken() -> None:
    assert client_of(f"http://127.0.0.1:{free_port()}").make(LATTE) == NotTaken(
        "ConnectionRefusedError (Connection refused)"
    )


def test_a_name_nobody_knows_means_certainly_nothing_was_taken() -> None:
    assert isinstance(client_of("http://tmetr.invalid").make(LATTE), NotTaken)


def test_a_server_without_tls_where_tls_is_wanted_never_hears_the_command(tmetr: TmetrSimulator) -> None:
    assert isinstance(client_of(tmetr.url.replace("http:", "https:")).make(LATTE), NotTaken)
    assert tmetr.calls(Endpoint.MAKE) == []


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.HTML_502, FaultKind.RESET])
@pytest.mark.parametrize("after_act", [False, True])
def test_after_the_command_has_left_a_broken_answer_proves_nothing(
    tmetr: TmetrSimulator, kind: FaultKind, after_act: bool
) -> None:
    tmetr.fault(kind, Endpoint.MAKE, after_act=after_act)
    assert isinstance(client_of(tmetr.url).make(LATTE), Unknown)
    assert len(tmetr.cups()) == after_act


def test_an_answer_that_does_not_come_proves_nothing(tmetr: TmetrSimulator) -> None:
    tmetr.fault(FaultKind.HANG, Endpoint.MAKE, after_act=True)
    assert isinstance(client_of(tmetr.url, answer_s=0.2).make(LATTE), Unknown)
    wait_until(tmetr.cups, what="the cup")


@pytest.mark.parametrize("said", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
                                  b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
                                  b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n",
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])  # fmt: skip
def test_an_answer_that_is_not_plainly_yes_or_no_proves_nothing(said: bytes) -> None:
    with a_server_that_says(said) as url:
        assert isinstance(client_of(url).make(LATTE), Unknown)


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    with a_server_that_says(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (MAX_ANSWER_BYTES + 1)) as url:
        assert client_of(url).make(LATTE) == Unknown("HTTP 200 with an endless answer")


@pytest.mark.parametrize("first", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"])
def test_an_answer_that_drips_is_given_up_when_the_whole_is_late(first: bytes) -> None:
    """Regression: in the status line and the headers each byte began the wait anew."""
    with a_server_that_says(first, *[b"x"] * 2000, every_s=0.01) as url:
        http = TmetrHttp(url, "t", "test")
        assert http.post("/make", b"{}", connect_s=5.0, answer_s=0.2) == Unknown("TimeoutError")


def test_a_price_is_read_by_size(tmetr: TmetrSimulator) -> None:
    client = client_of(tmetr.url)
    assert (client.price("m-1", "latte", 1), client.price("m-1", "latte", 2)) == (15900, 17900)
    assert isinstance(client.price("m-1", "latte", 0), Refused)


@pytest.mark.parametrize("kind", [FaultKind.NO_PRICE, FaultKind.NONSENSE, FaultKind.HTML_502, FaultKind.RESET])
def test_an_answer_without_a_price_is_no_price(tmetr: TmetrSimulator, kind: FaultKind) -> None:
    tmetr.fault(kind, Endpoint.DRINK)
    assert isinstance(client_of(tmetr.url).price("m-1", "latte", 1), Unknown)


@pytest.mark.parametrize("price", ["149.5", "149.0", '"14900"', "true"])
def test_a_price_that_is_no_whole_number_is_no_price(price: str) -> None:
    said = f'{{"name": "Латте", "price": {price}}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n".encode()
    with a_server_that_says(head, said) as url:
        assert isinstance(client_of(url).price("m-1", "latte", 1), Unknown)


@pytest.mark.parametrize("zone_hours", [0, 3, -5])
def test_the_zone_a_heartbeat_is_shifted_by_is_taken_out_again(tmetr: TmetrSimulator, zone_hours: int) -> None:
    tmetr.hall.switch("m-1", False, None)
    tmetr.advance(240)
    client = client_of(tmetr.url, zone_hours=zone_hours)
    assert client.last_heartbeat("m-1") == START


def test_a_machine_never_heard_of_has_no_heartbeat(tmetr: TmetrSimulator) -> None:
    assert client_of(tmetr.url).last_heartbeat("m-2") is None


@pytest.mark.parametrize("beat", ["1e300", '"now"', str(10**18)])
def test_a_heartbeat_that_makes_no_sense_is_none_known(beat: str) -> None:
    said = f'{{"content": [{{"heartbeatCreatedAt": {beat}}}]}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n".encode()
    with a_server_that_says(head, said) as url:
        assert client_of(url).last_heartbeat("m-1") == Unknown("the answer names no heartbeat")


def test_the_newest_heartbeat_counts() -> None:
    older, newer = (int((START + timedelta(seconds=s)).timestamp()) for s in (0, 60))
    said = f'{{"content": [{{"heartbeatCreatedAt": {older}}}, {{"heartbeatCreatedAt": {newer}}}]}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n".encode()
    with a_server_that_says(head, said) as url:
        assert client_of(url).last_heartbeat("m-1") == START + timedelta(seconds=60)
