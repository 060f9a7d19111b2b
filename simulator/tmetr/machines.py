"""The machines behind the API: what they sell, when they were last heard of, and every cup they really filled.

They remember no order: the same one asked for again is a second cup. Only a cup here is a cup.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulator.shell.clock import Clock

MAX_CUPS = 100_000
"""Kept in memory; a test that fills more is asked to start anew."""
BEAT_S = 60
SIZES = ("SMALL", "MEDIUM", "BIG")
Prices = dict[str, tuple[int | None, int | None, int | None]]
"""Kopecks by drink and size; None is not sold."""


@dataclass(frozen=True)
class Cup:
    """One drink that left a spout."""

    order_uuid: str
    device_id: str
    drink: str
    size: str
    price: int
    at: datetime


@dataclass
class Machine:
    """One machine. `online` false: heard of for the last time when it was switched off. `deaf`: pours nothing."""

    device_id: str
    prices: Prices = field(default_factory=dict)
    online: bool = True
    deaf: bool = False
    ever_seen: bool = True
    heard_of: datetime | None = None


class UnknownThing(LookupError):
    """No such machine, drink or size."""


class MachineHall:
    """All machines, from any thread. `clock` is the time they live in."""

    def __init__(self, machines: Iterable[Machine], clock: Clock) -> None:
        self._machines = {machine.device_id: machine for machine in machines}
        self._clock = clock
        self._lock = threading.Lock()
        self._cups: list[Cup] = []

    def machine(self, device_id: str) -> Machine:
        """Raises `UnknownThing`."""
        with self._lock:
            if device_id not in self._machines:
                raise UnknownThing(f"device {device_id[:64]}")
            return self._machines[device_id]

    def all(self) -> list[Machine]:
        with self._lock:
            return list(self._machines.values())

    def price(self, device_id: str, drink: str, size: str) -> int:
        """Kopecks. Raises `UnknownThing`."""
        prices = self.machine(device_id).prices
        price = prices[drink][SIZES.index(size)] if drink in prices and size in SIZES else None
        if price is None:
            raise UnknownThing(f"drink {drink[:64]} {size[:16]}")
        return price

    def pour(self, device_id: str, order_uuid: str, drink: str, size: str, price: int) -> None:
        """Pass a command on; a deaf machine, or one that is off, never hears it."""
        machine = self.machine(device_id)
        with self._lock:
            if machine.online and not machine.deaf and len(self._cups) < MAX_CUPS:
                self._cups.append(Cup(order_uuid, device_id, drink, size, price, self._clock()))

    def cups(self, order_uuid: str = "") -> list[Cup]:
        """What was really poured, for one order or for all."""
        with self._lock:
            return [cup for cup in self._cups if order_uuid in {"", cup.order_uuid}]

    def switch(self, device_id: str, online: bool | None, deaf: bool | None) -> Machine:
        """Set what is not None. Raises `UnknownThing`."""
        self.last_beat(device_id)
        machine = self.machine(device_id)
        with self._lock:
            machine.online = machine.online if online is None else online
            machine.deaf = machine.deaf if deaf is None else deaf
        return machine

    def set_price(self, device_id: str, drink: str, size: str, price: int | None) -> None:
        """Change one price, or stop selling with None. Raises `UnknownThing`."""
        machine = self.machine(device_id)
        if size not in SIZES:
            raise UnknownThing(f"size {size[:16]}")
        with self._lock:
            prices = list(machine.prices.get(drink, (None, None, None)))
            prices[SIZES.index(size)] = price
            machine.prices[drink] = (prices[0], prices[1], prices[2])

    def last_beat(self, device_id: str) -> datetime | None:
        """When a machine was last heard of; one that is on speaks once a minute. Raises `UnknownThing`."""
        machine = self.machine(device_id)
        with self._lock:
            if machine.online and machine.ever_seen:
                now = self._clock()
                machine.heard_of = now - timedelta(seconds=now.timestamp() % BEAT_S)
            return machine.heard_of
