"""The HTTP/1.1 connection itself, byte by byte, over a real socket."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from simulator.yookassa import YooKassaSimulator
from tests.simulator.yookassa.shop import COFFEE, TestShop

AUTH = b"Authorization: Basic MTAwNTAwOnRlc3Rfc2VjcmV0\r\n"


@pytest.fixture
def wire(simulator: YooKassaSimulator) -> Iterator[socket.socket]:
    host, port = simulator.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def read_all(wire: socket.socket) -> bytes:
    received = b""
    while chunk := wire.recv(65_536):
        received += chunk
    return received


def test_two_calls_share_one_connection(simulator: YooKassaSimulator) -> None:
    connection = HTTPConnection(simulator.address.removeprefix("http://"), timeout=10)
    connection.request("GET", "/v3/me")
    connection.getresponse().read()
    first = connection.sock
    connection.request("POST", "/v3/payments", body=b"{}")
    connection.getresponse().read()
    assert first is not None
    assert connection.sock is first
    connection.close()


def test_two_calls_sent_at_once_are_answered_in_order(wire: socket.socket) -> None:
    post = b"POST /v3/payments HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Content-Length: 2\r\n\r\n{}"
    last = b"GET /v3/me HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Connection: close\r\n\r\n"
    wire.sendall(post + last)
    answers = read_all(wire)
    assert answers.startswith(b"HTTP/1.1 415 ")
    assert b"HTTP/1.1 200 OK" in answers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Content-Length: 99999999999999999999\r\n", b"413"),
    ],
)
def test_a_body_of_unknown_or_huge_length_is_refused(wire: socket.socket, head: bytes, status: bytes) -> None:
    wire.sendall(b"POST /v3/payments HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
    assert read_all(wire).startswith(b"HTTP/1.1 " + status)


def test_noise_ends_only_its_own_connection(simulator: YooKassaSimulator, wire: socket.socket) -> None:
    wire.sendall(b"\x16\x03\x01 what\r\n\r\n")
    read_all(wire)
    shop = TestShop(simulator)
    assert shop.get("/me").status_code == 200
    shop.session.close()


def test_a_caller_that_leaves_in_the_middle_does_no_harm(simulator: YooKassaSimulator, wire: socket.socket) -> None:
    wire.sendall(b"POST /v3/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    wire.close()
    shop = TestShop(simulator)
    assert shop.get("/me").status_code == 200
    shop.session.close()


def test_closing_ends_open_connections_and_frees_the_port() -> None:
    simulator = YooKassaSimulator().start()
    shop = TestShop(simulator)
    assert shop.get("/me").status_code == 200
    simulator.close()
    simulator.close()
    port = int(simulator.address.rsplit(":", 1)[1])
    with YooKassaSimulator(port=port) as again:
        assert TestShop(again).get("/me").status_code == 200
    shop.session.close()


def test_many_callers_at_once_make_as_many_payments_and_one_under_a_shared_key(
    simulator: YooKassaSimulator,
) -> None:
    def buy(_number: int) -> list[str]:
        shop = TestShop(simulator)
        made = [shop.post("/payments", COFFEE, key="shared").json()["id"]]
        made += [shop.create()["id"] for _ in range(10)]
        shop.session.close()
        return made

    with ThreadPoolExecutor(8) as pool:
        made = {payment_id for ids in pool.map(buy, range(8)) for payment_id in ids}
    assert len(made) == len(simulator.provider.snapshot()[0]) == 81


def test_a_caller_that_asks_before_it_sends_its_body_is_told_to_go_on(wire: socket.socket) -> None:
    head = b"POST /v3/payments HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Connection: close\r\n"
    wire.sendall(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert wire.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(b"{}")
    assert read_all(wire).startswith(b"HTTP/1.1 415 ")
