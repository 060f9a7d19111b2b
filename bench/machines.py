"""Coffee machines that pour in no time, each on a pty: the far end of the chain, where the first byte is timed."""

import os
import pty
import selectors
import threading
import time
import tty

from bench.orders import DRINK_NO
from protocol.machine import (
    CountersQuery,
    CountersReply,
    DoneEvent,
    Hello,
    HelloReply,
    MachineMessage,
    MakeDrink,
    MakeReply,
    OrderQuery,
    OrderReply,
    Status,
    StatusReply,
    from_frame,
    to_frame,
)
from protocol.reasons import MachineState, Phase, Spout
from simulator.machine.framing import FrameDecoder, encode

_BOOT = "bench"
_CAPS = ["ack", "progress", "finish", "order", "counters", "dedup", "nv", "cancel", "faults"]
_READ = 4096
_LOOK_S = 0.2


class Machine:
    """One machine at the master's end of a pty."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()  # our own hold on the slave keeps the master readable
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)
        self._decoder = FrameDecoder()
        self._poured: set[str] = set()
        self._events = 0

    def heard(self, data: bytes) -> str | None:
        """Answer what came; the order whose first make frame was in it."""
        asked = None
        for frame in self._decoder.feed(data):
            message = from_frame(frame)
            if isinstance(message, MakeDrink) and message.order_uuid not in self._poured:
                asked = message.order_uuid
            for answer in self._answers(message):
                os.write(self.master, encode(to_frame(answer)))
        return asked

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)

    def _answers(self, message: MachineMessage) -> list[MachineMessage]:
        match message:
            case Hello():
                return [HelloReply(msg_id=message.msg_id, model="bench", fw="1", boot_id=_BOOT, caps=_CAPS)]
            case Status():
                ready = MachineState.READY
                return [StatusReply(msg_id=message.msg_id, boot_id=_BOOT, state=ready, order_uuid=None, faults=[])]
            case CountersQuery():
                poured = len(self._poured)
                return [
                    CountersReply(
                        msg_id=message.msg_id, boot_id=_BOOT, boots=1, total=poured, paid=poured, free=0, test=0,
                        by_drink={DRINK_NO: poured},
                    )
                ]  # fmt: skip
            case OrderQuery():
                done = message.order_uuid in self._poured
                phase, out = (Phase.DONE, Spout.FULL) if done else (Phase.UNKNOWN, Spout.NONE)
                return [
                    OrderReply(
                        msg_id=message.msg_id, order_uuid=message.order_uuid, phase=phase, out=out, boot_id=_BOOT,
                        hist="nv",
                    )
                ]  # fmt: skip
            case MakeDrink():
                return self._pour(message.order_uuid)
        return []

    def _pour(self, order_uuid: str) -> list[MachineMessage]:
        if order_uuid in self._poured:
            return [MakeReply(order_uuid=order_uuid, ok=True, dup=True, boot_id=_BOOT)]
        self._poured.add(order_uuid)
        self._events += 1
        return [
            MakeReply(order_uuid=order_uuid, ok=True, boot_id=_BOOT),
            DoneEvent(boot_id=_BOOT, evt=self._events, order_uuid=order_uuid, total=len(self._poured)),
        ]


class Machines:
    """All of them, answered by one thread."""

    def __init__(self, count: int) -> None:
        self._machines = [Machine() for _ in range(count)]
        self._first_bytes: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def address(self) -> list[str]:
        return [machine.name for machine in self._machines]

    def take(self) -> dict[str, float]:
        """When each order's first byte came, seconds since 1970."""
        taken, self._first_bytes = self._first_bytes, {}
        return taken

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for machine in self._machines:
            machine.close()

    def _answer(self) -> None:
        with selectors.DefaultSelector() as selector:
            for machine in self._machines:
                selector.register(machine.master, selectors.EVENT_READ, machine)
            while not self._closing.is_set():
                for key, _ in selector.select(_LOOK_S):
                    data = os.read(key.fd, _READ)
                    now = time.time()
                    asked = key.data.heard(data)
                    if asked is not None:
                        self._first_bytes[asked] = now
