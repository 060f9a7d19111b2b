"""What is replaced in the real code, and nothing else: threads, sockets, the making of engines, random draws."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import paho.mqtt.client

import agent.cloud.state_sender
import cloud.alerts.loops
import cloud.courier.broker
import cloud.courier.broker_session
import cloud.database.database
import cloud.database.sqlite
import cloud.payments.checkout
import cloud.payments.yookassa.client
import cloud.processes.worker
import cloud.wiring
from tests.simulation.cloud_process import WorldDeferredWrites, WorldLoop, WorldPatience, WorldThreadPool
from tests.simulation.here import here
from tests.simulation.mqtt_client import Client, WorldRedialling
from tests.simulation.provider import WorldTransport

STATE_EVERY_S = 300.0
"""An unchanged state is told again less often than by default: it changes nothing and costs a commit."""
OPENING_PATIENCE_S = 0.0
"""One thread cannot do what it waits for: the real patience would only be real time."""


def _jitter() -> float:
    world = here()
    return world.cloud_of(world.process).jitter()


@contextmanager
def replaced(create_engine: Callable[..., Any]) -> Iterator[None]:
    """For as long as one world is told: whatever else this process does wants the real ones."""
    with ExitStack() as stack:
        for module, name, stand_in in (
            (cloud.database.sqlite, "create_engine", create_engine),
            (cloud.database.database, "DeferredWrites", WorldDeferredWrites),
            (cloud.processes.worker, "Loop", WorldLoop),
            (cloud.alerts.loops, "Loop", WorldLoop),
            (cloud.processes.worker, "ThreadPool", WorldThreadPool),
            (cloud.processes.worker, "Patience", WorldPatience),
            (cloud.processes.worker, "jitter", _jitter),
            (cloud.wiring, "jitter", _jitter),
            (cloud.processes.worker, "client_id_of", lambda owner: owner),
            (cloud.courier.broker, "Redialling", WorldRedialling),
            (cloud.courier.broker_session, "Client", Client),
            (paho.mqtt.client, "Client", Client),
            (cloud.payments.yookassa.client, "Transport", WorldTransport),
            (cloud.payments.checkout, "PATIENCE_S", OPENING_PATIENCE_S),
            (agent.cloud.state_sender, "STATE_EVERY_S", STATE_EVERY_S),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        yield
