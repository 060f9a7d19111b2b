"""A name that leads into our own network gets no byte of ours, whatever it meant when it was saved."""

import socket
from collections.abc import Iterator

import pytest

from cloud.payments.outcomes import NotSent
from cloud.payments.transport import Question, Reply, Transport
from simulator.custom import CustomSimulator


@pytest.fixture
def inside() -> Iterator[CustomSimulator]:
    """A service of our own network."""
    with CustomSimulator("north-coffee", "an-agreed-secret-of-forty-two-characters!!", "/x", sends=False) as running:
        yield running


def asked(url: str, *, public_only: bool) -> object:
    line = Transport(url, user_agent="x", basic_auth=None, connect_timeout_s=5.0, public_only=public_only)
    try:
        return line.exchange(Question("GET", "/status", 5.0))
    finally:
        line.close()


def test_what_is_to_lead_into_the_public_net_does_not_lead_here(inside: CustomSimulator) -> None:
    assert isinstance(asked(inside.address, public_only=False), Reply)
    assert asked(inside.address, public_only=True) == NotSent("ConnectionError (NotPublic)")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_it_is_judged_by_what_the_name_means_now_and_before_anything_is_sent(
    inside: CustomSimulator, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    port = int(inside.address.rpartition(":")[2])
    meant = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_asked: meant)
    monkeypatch.setattr(socket, "socket", None)
    assert asked(f"{scheme}://pay.example.org", public_only=True) == NotSent("ConnectionError (NotPublic)")
