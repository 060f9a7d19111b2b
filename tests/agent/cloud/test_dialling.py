"""Looking for the broker holds nobody up, and is watched like the thread that then serves it."""

import socket
import threading
from typing import Any

import pytest

from agent.cloud import dialling
from agent.cloud.dialling import DIAL, NETWORK, RESOLVER_S, Dialled
from agent.health import STALE_S, Pulse
from agent.settings import BrokerAddress
from tests.agent.world import VirtualClock
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until


def dialled(port: int, clock: VirtualClock) -> tuple[Dialled, Pulse]:
    pulse = Pulse(clock)
    made = Dialled(
        BrokerAddress("localhost", port),
        "m-001",
        mqtt5=True,
        subscriptions=[],
        will=None,
        on_message=lambda *_: True,
        on_change=lambda: None,
        pulse=pulse,
        patience=STALE_S,
    )
    return made, pulse


def test_a_name_server_that_hangs_is_waited_for_beside_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        answered.wait(60)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    clock = VirtualClock()
    wire, pulse = dialled(1883, clock)
    wire.open()
    assert (wire.is_opening, wire.is_lost) == (True, False)
    clock.seconds += RESOLVER_S - 1
    assert pulse.stale() == []
    clock.seconds += 2
    assert pulse.stale() == [DIAL]
    answered.set()
    wait_until(lambda: not wire.is_opening, what="the answer")
    assert (wire.is_lost, wire.is_unreachable, pulse.stale()) == (True, True, [])


def test_the_networks_thread_is_watched_as_long_as_it_serves(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    wire, pulse = dialled(mosquitto.port, clock)
    wire.open()
    wait_until(lambda: wire.is_ready and not wire.is_opening, what="the connection")
    clock.seconds += STALE_S + 1
    wait_until(lambda: pulse.stale() == [], what="a round of the network's thread")
    hangs, over = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        over.wait(60)

    monkeypatch.setattr(wire, "_came_round", hang)
    assert hangs.wait(30)
    clock.seconds += STALE_S + 1
    assert pulse.stale() == [NETWORK]
    over.set()
    wire.close()


def test_what_is_closed_is_not_watched(mosquitto: Mosquitto) -> None:
    clock = VirtualClock()
    wire, pulse = dialled(mosquitto.port, clock)
    wire.open()
    wait_until(lambda: wire.is_ready and not wire.is_opening, what="the connection")
    wire.close()
    clock.seconds += 10 * RESOLVER_S
    assert pulse.stale() == []


def test_closing_while_paho_begins_leaves_the_parting_to_the_thread_that_dials(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "GOODBYE_S", 0.01)
    begins, go_on = threading.Event(), threading.Event()
    start = threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        if thread.name.startswith("paho"):
            begins.set()
            go_on.wait(60)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    clock = VirtualClock()
    wire, pulse = dialled(mosquitto.port, clock)
    wire.open()
    assert begins.wait(30)
    wire.close()
    go_on.set()
    wait_until(lambda: wire.is_lost and not wire.is_opening, what="the parting")
    clock.seconds += 10 * RESOLVER_S
    wait_until(lambda: pulse.stale() == [], what="the end of the watch")
