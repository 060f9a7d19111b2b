"""Stands beside the machines and notes when something first flowed for each order: their own word has no time."""

import threading
from collections.abc import Mapping
from datetime import datetime

from simulator.machine import MachineSimulator
from tests.chaos.timeline import Timeline, utc_now

_LOOKS_EVERY_S = 0.25


class CupWatch:
    """`flowed[order_id]` is when it was seen; a moment after it happened."""

    def __init__(self, machines: Mapping[str, MachineSimulator], timeline: Timeline) -> None:
        self.flowed: dict[str, datetime] = {}
        self._full: set[str] = set()
        self._machines = machines
        self._timeline = timeline

    def look_until(self, closing: threading.Event) -> None:
        while not closing.wait(_LOOKS_EVERY_S):
            self.look()

    def look(self) -> None:
        """At every machine once."""
        for name, machine in self._machines.items():
            for cup in machine.controls.state()["cups"][-3:]:
                order_id = cup["order_uuid"]
                if order_id is None:
                    continue
                if order_id not in self.flowed:
                    self.flowed[order_id] = utc_now()
                    self._timeline.note(name, "something flows into a cup", order_id)
                if cup["filled"] >= 1 and order_id not in self._full:
                    self._full.add(order_id)
                    self._timeline.note(name, "the cup is full", order_id)
