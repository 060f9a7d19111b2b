"""One machine on a wire with a clock of the test's own: bytes in, messages out, no threads."""

from collections.abc import Callable
from itertools import count
from random import Random
from typing import TypeVar

from protocol.frames import Frame
from protocol.machine import (
    Booted,
    DoneEvent,
    EventAck,
    FailedEvent,
    FaultEvent,
    MachineMessage,
    MakeDrink,
    MakeReply,
    OrderQuery,
    OrderReply,
    from_frame,
    to_frame,
)
from simulator.machine import STANDARD_MENU, CoffeeMachine, Faults, Memory, Menu, Timing, Wire
from simulator.machine.framing import FrameDecoder, encode

QUICK = Timing(brew_s=10.0, rinse_s=3.0, boot_s=1.0, heating_s=0.0)
LONG_ENOUGH_S = 60.0
M = TypeVar("M", bound=MachineMessage)


def numbered_boots() -> Callable[[], str]:
    """b7, b8, b9, ..."""
    numbers = count(7)
    return lambda: f"b{next(numbers)}"


class Rig:
    """`now` moves only by `wait`; every event is acknowledged unless `deaf`."""

    def __init__(
        self, memory: Memory | None = None, menu: Menu | None = None, timing: Timing = QUICK, *, deaf: bool = True
    ) -> None:
        self.now = 0.0
        self.memory = memory or Memory()
        self.faults = Faults(Random(1))
        self.machine = CoffeeMachine(self.memory, self.faults, numbered_boots(), timing, menu or STANDARD_MENU)
        self.wire = Wire(self.machine, self.faults, Random(1))
        self.deaf = deaf
        self._decoder = FrameDecoder()
        self._wake_at = 0.0
        self.booted = self.wait(0)

    def bytes_after(self, heard: bytes = b"") -> bytes:
        """What the machine writes at once."""
        turn = self.wire.turn(self.now, heard)
        self._wake_at = turn.wake_at
        return b"".join(turn.pieces)

    def hear(self, heard: bytes) -> list[MachineMessage]:
        return self._read(self.bytes_after(heard))

    def tell(self, message: MachineMessage) -> list[MachineMessage]:
        """Say this to the machine; what it answers at once."""
        return self.hear(encode(to_frame(message)))

    def wait(self, seconds: float) -> list[MachineMessage]:
        """Everything said while this much time passes; the machine is woken whenever it asked to be."""
        until = self.now + seconds
        said = self.hear(b"")
        while self._wake_at <= until:
            self.now = max(self.now, self._wake_at)
            said += self.hear(b"")
        self.now = until
        return said + self.hear(b"")

    def make(self, order_uuid: str = "o1", drink_no: str = "americano", price: int = 14900) -> list[MakeReply]:
        """Order a drink; the verdicts that come at once: one, or none when something keeps it."""
        asked = MakeDrink(order_uuid=order_uuid, drink_no=drink_no, text_flag="1", price=price)
        return of_kind(MakeReply, self.tell(asked))

    def ask(self, order_uuid: str = "o1") -> OrderReply:
        (reply,) = of_kind(OrderReply, self.tell(OrderQuery(msg_id=9, order_uuid=order_uuid)))
        return reply

    def cups(self, order_uuid: str | None = "o1") -> list[float]:
        """Ground truth: how full each cup of this order is."""
        return [cup.filled for cup in self.memory.cups if cup.order_uuid == order_uuid]

    def _read(self, data: bytes) -> list[MachineMessage]:
        said = [from_frame(frame) for frame in self._decoder.feed(data)]
        if not self.deaf:
            for message in list(said):
                if isinstance(message, Booted | DoneEvent | FailedEvent | FaultEvent):
                    said += self.tell(EventAck(boot_id=message.boot_id, evt=message.evt))
        return said


def frame_of(command: int, body: str) -> bytes:
    return encode(Frame(command, body.encode()))


def of_kind(kind: type[M], said: list[MachineMessage]) -> list[M]:
    return [message for message in said if isinstance(message, kind)]
