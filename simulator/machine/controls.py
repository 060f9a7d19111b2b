"""Everything a person or a test does to the running machine from outside its wire: look, switch, pull the plug.

Safe to call from any thread; each act wakes the line.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from protocol.reasons import Size
from simulator.machine.conditions import machine_faults, refusal_of
from simulator.machine.faults import Faults, Setting
from simulator.machine.jobs import Pour, Sale
from simulator.machine.memory import Cup
from simulator.machine.menu import Drink
from simulator.machine.qr import PayLink, pay_link
from simulator.machine.wire import Turn, Wire

_CUPS_SHOWN = 200


class NoSuchDrink(ValueError):
    """The menu has no such drink."""


def _local_time() -> datetime:
    return datetime.now().astimezone()


class Controls:
    """The machine as its surroundings see it."""

    def __init__(
        self,
        wire: Wire,
        faults: Faults,
        random: Random,
        *,
        device_uuid: str,
        cloud_url: str,
        qr_key: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
        local_time: Callable[[], datetime] = _local_time,
    ) -> None:
        self.device_uuid = device_uuid
        self.cloud_url = cloud_url
        self.qr_key = qr_key
        """Signs the codes on the screen, when there is one."""
        self.wake: Callable[[], None] = lambda: None
        """Set by the program that runs the line."""
        self._wire = wire
        self._machine = wire.machine
        self._faults = faults
        self._random = random
        self._clock = clock
        self._local_time = local_time
        self._lock = threading.Lock()

    def turn(self, now: float, heard: bytes) -> Turn:
        """One turn of the wire; for the line's thread."""
        with self._lock:
            return self._wire.turn(now, heard)

    def is_plugged(self) -> bool:
        with self._lock:
            return not self._faults.is_on("unplugged")

    def switch_on(self, name: str, setting: Setting | None = None) -> None:
        """Raises `UnknownSwitch` or `BadSetting`."""
        with self._lock:
            self._faults.turn_on(name, setting, now=self._clock())
        self.wake()

    def switch_off(self, name: str) -> None:
        """Raises `UnknownSwitch`; harmless when it is off."""
        with self._lock:
            self._faults.clear(name)
        self.wake()

    def switch_all_off(self) -> None:
        with self._lock:
            self._faults.clear_all()
        self.wake()

    def switches(self) -> dict[str, Setting]:
        """Those that are on or wait for their moment."""
        with self._lock:
            return self._faults.active

    def cut_power(self) -> None:
        """Pull the mains plug; it comes back by itself."""
        with self._lock:
            self._wire.cut_power(self._clock())
        self.wake()

    def local_drink(self, drink_no: str, sale: Sale = Sale.PAID) -> bool:
        """A drink for cash, or a test one, made without us; False when the machine cannot start it now."""
        self._drink(drink_no)
        with self._lock:
            started = self._machine.local_drink(self._clock(), drink_no, sale)
        self.wake()
        return started

    def offer(self, drink_no: str, size: Size) -> PayLink:
        """A new order's link, as the screen shows it. Raises `NoSuchDrink`."""
        drink = self._drink(drink_no)
        with self._lock:
            return pay_link(
                self.cloud_url, self.device_uuid, drink, size, self._local_time, self._random, self.qr_key
            )  # fmt: skip

    def cups(self, order_uuid: str) -> int:
        """Ground truth: cups filled to the brim for this order. More than one is a broken promise."""
        return sum(cup.is_full for cup in self.poured(order_uuid))

    def poured(self, order_uuid: str | None) -> list[Cup]:
        """Ground truth: every cup something flowed into for this order, full or not; None for local drinks."""
        with self._lock:
            return [msgspec.structs.replace(cup) for cup in self._machine.memory.cups if cup.order_uuid == order_uuid]

    def menu(self) -> list[dict[str, Any]]:
        """The buttons; `closed` says why a drink cannot be made now."""
        with self._lock:
            return [self._button(drink) for drink in self._machine.menu.values()]

    def state(self) -> dict[str, Any]:
        """One look at everything, ready for JSON."""
        with self._lock:
            now = self._clock()
            machine = self._machine
            memory = machine.memory
            return {
                "device_uuid": self.device_uuid,
                "powered": machine.is_powered,
                "plugged": not self._faults.is_on("unplugged"),
                "state": machine.state(now),
                "boot_id": machine.boot_id,
                "boots": memory.boots,
                **self._job(now),
                "last": msgspec.to_builtins(memory.last_order),
                "faults": [fault.code for fault in machine_faults(self._faults, machine.menu)],
                "switches": {name: msgspec.to_builtins(setting) for name, setting in self._faults.active.items()},
                "in_force": self._faults.in_force,
                "closed": {no: refusal_of(drink, self._faults, machine.menu) for no, drink in machine.menu.items()},
                "counters": msgspec.to_builtins(memory.counters),
                "unheard_events": machine.unheard_events,
                "cups": [msgspec.to_builtins(cup) for cup in memory.cups[-_CUPS_SHOWN:]],
            }

    def _job(self, now: float) -> dict[str, Any]:
        job = self._machine.barista.job
        if not isinstance(job, Pour):
            return {"order": None, "stage": None, "pct": None, "filled": 0.0}
        moment = job.at(now)
        return {
            "order": {
                "order_uuid": job.order_uuid,
                "drink_no": job.drink.drink_no,
                "size": int(job.size),
                "seconds_left": round(max(0.0, job.started_at + job.seconds - now), 2),
            },
            "stage": moment.stage,
            "pct": moment.pct,
            "filled": moment.filled,
        }

    def _button(self, drink: Drink) -> dict[str, Any]:
        return {
            "drink_no": drink.drink_no,
            "name": drink.name,
            "name_en": drink.name_en,
            "prices": list(drink.prices),
            "colours": list(drink.colours),
            "closed": refusal_of(drink, self._faults, self._machine.menu),
        }

    def _drink(self, drink_no: str) -> Drink:
        drink = self._machine.menu.get(drink_no)
        if drink is None:
            raise NoSuchDrink(f"the menu has no {drink_no!r}")
        return drink
