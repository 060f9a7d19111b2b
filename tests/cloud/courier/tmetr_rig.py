"""A world whose machine has no agent: a simulated Tmetr over HTTP; sender and heartbeats are stepped by hand."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import update

from cloud.background.loops import ThreadPool
from cloud.courier.tmetr.client import TmetrClient
from cloud.courier.tmetr.heartbeat import TmetrHeartbeats
from cloud.courier.tmetr.http import TmetrHttp
from cloud.courier.tmetr.sender import TmetrSender
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, DeviceLive
from simulator.tmetr import Machine, TmetrSimulator
from simulator.tmetr.faults import Endpoint
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, PRICE, World

PARAMETERS = {"order_id", "device", "command", "attempt", "drink_no", "size", "price", "issued_at", "deadline_at"}
"""What must be told of a command that failed."""
ANSWER_S, HASTY_S = 30.0, 0.5
"""How long the client waits for an answer: for one that comes, and for one that does not."""


class TmetrRig:
    """`tmetr` counts the cups; `unreachable` is an address where nobody listens."""

    def __init__(self, world: World, tmetr: TmetrSimulator) -> None:
        self.world, self.tmetr = world, tmetr
        self._answer_s = ANSWER_S
        self.sender = self.a_sender("courier")
        self.heartbeats = TmetrHeartbeats(world.database, self.client(), ThreadPool("beats", 0), world.clock)
        self.change(control="tmetr-api")

    def client(self, url: str = "") -> TmetrClient:
        return TmetrClient(TmetrHttp(url or self.tmetr.url, self.tmetr.token, "test"), answer_s=self._answer_s)

    def a_sender(self, owner: str, url: str = "", slots: int = 0) -> TmetrSender:
        world = self.world
        return TmetrSender(world.database, self.client(url), world.rules, owner, ThreadPool(owner, slots), world.clock)

    def be_hasty(self) -> None:
        """From now on the sender soon gives up an answer that does not come."""
        self._answer_s = HASTY_S
        self.sender = self.a_sender("courier")

    def a_look_elsewhere(self, url: str) -> TmetrHeartbeats:
        return TmetrHeartbeats(self.world.database, self.client(url), ThreadPool("elsewhere", 0), self.world.clock)

    def change(self, device: str = DEVICE, **values: Any) -> None:
        """The device as the fleet file would have it."""
        changing = update(Device).where(Device.device_uuid == device).values(**values)
        self.world.database.transact(Transaction.execute, changing)

    def live(self, device: str = DEVICE) -> DeviceLive:
        with self.world.database.read() as session:
            return session.get_one(DeviceLive, device)

    def send(self, seconds: float = 0.0) -> None:
        """Time passes, and the sender does what is due."""
        self.sender.step(self.world.clock.advance(seconds))

    def makes(self) -> int:
        """How often Tmetr was asked to pour."""
        return len(self.tmetr.calls(Endpoint.MAKE))

    def verdict(self, order_id: str) -> str:
        [row] = [row for row in self.world.rows(order_id) if row.task == "make"]
        return row.verdict


@contextmanager
def a_tmetr_rig(world: World) -> Iterator[TmetrRig]:
    """A rig whose machines sell one latte each, taken down at the end."""
    machines = [Machine(name, {"latte": (None, PRICE, None)}) for name in (DEVICE, OTHER_DEVICE)]
    with TmetrSimulator(machines, clock=world.clock) as tmetr:
        yield TmetrRig(world, tmetr)


def failure_told(caplog: pytest.LogCaptureFixture, order_id: str) -> list[logging.LogRecord]:
    """The errors that name the order with every parameter of its command."""
    errors = [r for r in caplog.records if r.levelno == logging.ERROR and vars(r).keys() >= PARAMETERS]
    return [record for record in errors if vars(record)["order_id"] == order_id]
