"""What the simulated machine remembers, and, kept apart from it, the ground truth of cups really filled.

The machine's own belief (orders, counters, boots) may be wrong or forgotten; the truth only a test can see.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from protocol.reasons import Phase, RejectCode, Spout

MAX_ORDERS = 256
"""Orders remembered; the protocol asks for at least 64 (docs/machine-protocol.md 3.1)."""
MAX_CUPS = 4096
"""Cups of the ground truth kept; more than any test or demo pours, and a small file still."""


class OrderRecord(Struct, kw_only=True):
    """One order as the machine believes it; a refused one has `refused` and stays `failed`, `none`."""

    order_uuid: str
    drink_no: str
    size: int
    phase: Phase
    out: Spout = Spout.NONE
    refused: RejectCode | None = None
    failure: str | None = None


class Counters(Struct, kw_only=True):
    """Lifetime counts; `by_drink` leaves test drinks out (they are no evidence about an order)."""

    total: int = 0
    paid: int = 0
    free: int = 0
    test: int = 0
    by_drink: dict[str, int] = {}


class Cup(Struct, kw_only=True):
    """Ground truth: a cup that something was poured into. `order_uuid` is None for a local drink."""

    order_uuid: str | None
    drink_no: str
    filled: Annotated[float, Meta(ge=0, le=1)] = 0.0

    @property
    def is_full(self) -> bool:
        return self.filled >= 1


class _Contents(Struct, kw_only=True):
    boots: int = 0
    boot_id: str = ""
    counters: Counters = msgspec.field(default_factory=Counters)
    orders: list[OrderRecord] = []
    cups: list[Cup] = []


class Memory:
    """Non-volatile memory of one machine; `save` is called after each change that must survive a power cut."""

    def __init__(self, contents: _Contents | None = None) -> None:
        contents = contents or _Contents()
        self.boots = contents.boots
        self.boot_id = contents.boot_id
        """Of the latest boot."""
        self.counters = contents.counters
        self.cups = contents.cups
        self._orders = {record.order_uuid: record for record in contents.orders}

    @property
    def last_order(self) -> OrderRecord | None:
        """The latest order the machine did not refuse."""
        return next((record for record in reversed(self._orders.values()) if record.refused is None), None)

    def order(self, order_uuid: str) -> OrderRecord | None:
        return self._orders.get(order_uuid)

    def remember(self, record: OrderRecord) -> None:
        """Put the order last; when full forget the oldest, refused ones first: they guard no cup."""
        self._orders.pop(record.order_uuid, None)
        if len(self._orders) >= MAX_ORDERS:
            refused = (uuid for uuid, old in self._orders.items() if old.refused is not None)
            del self._orders[next(refused, next(iter(self._orders)))]
        self._orders[record.order_uuid] = record
        self.save()

    def interrupt_unfinished(self) -> None:
        """At boot: what was under way when the power went is `interrupted`. Nothing moves before `brewing` is kept."""
        for record in self._orders.values():
            if record.phase in (Phase.ACCEPTED, Phase.BREWING):
                record.out = Spout.NONE if record.phase is Phase.ACCEPTED else Spout.UNKNOWN
                record.phase = Phase.INTERRUPTED

    def forget_orders(self) -> None:
        self._orders.clear()

    def forget(self, order_uuid: str) -> None:
        self._orders.pop(order_uuid, None)
        self.save()

    def wipe(self) -> None:
        """Everything a new controller would not know; the cups are the truth, and stay."""
        self._orders.clear()
        self.counters, self.boots = Counters(), 0

    def counters_jump(self, by: int) -> None:
        """Every count of a sale is that much higher, with no drink made."""
        counters = self.counters
        counters.total += by
        counters.paid += by
        counters.by_drink = {drink_no: count + by for drink_no, count in counters.by_drink.items()}
        self.save()

    def new_cup(self, order_uuid: str | None, drink_no: str) -> Cup:
        """Ground truth: a cup stands under the spout and is about to receive something."""
        if len(self.cups) >= MAX_CUPS:
            del self.cups[0]
        cup = Cup(order_uuid=order_uuid, drink_no=drink_no)
        self.cups.append(cup)
        return cup

    def save(self) -> None:
        """Nothing to do: this memory lives as long as the object."""


class MemoryFile(Memory):
    """Memory that also survives the simulator's own end: one JSON file, replaced whole at each change.

    Raises `ValueError` when the file is there and is not such a memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            contents = msgspec.json.decode(path.read_bytes(), type=_Contents)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            contents = _Contents()
        except msgspec.DecodeError as error:
            raise ValueError(f"{path} is not a machine's memory: {error}") from error
        super().__init__(contents)

    def save(self) -> None:
        contents = _Contents(
            boots=self.boots,
            boot_id=self.boot_id,
            counters=self.counters,
            orders=list(self._orders.values()),
            cups=self.cups,
        )
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_bytes(msgspec.json.encode(contents))
        os.replace(beside, self._path)
