"""A machine at the far end of a pty that only answers: greetings, questions about its state and its counters."""

import os
import threading
from collections.abc import Iterator

from protocol.machine import (
    CountersReply,
    Hello,
    HelloReply,
    MachineMessage,
    Status,
    StatusReply,
    from_frame,
    to_frame,
)
from protocol.reasons import MachineState
from simulator.machine.framing import FrameDecoder, encode
from tests.agent.pty_rig import Cable

CAPS = ["ack", "progress", "finish", "order", "counters", "dedup", "nv", "heartbeat"]


def wire(message: MachineMessage) -> bytes:
    return encode(to_frame(message))


class Answering:
    """A machine that answers greetings and questions about its state, from a thread of its own; nothing else."""

    def __init__(self, cable: Cable) -> None:
        self.heard: list[MachineMessage] = []
        self.boot_id = "b7"
        self._cable = cable
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def greetings(self) -> int:
        return sum(isinstance(one, Hello) for one in self.heard)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        decoder = FrameDecoder()
        os.set_blocking(self._cable.machine, False)
        while not self._stop.wait(0.002):
            try:
                data = os.read(self._cable.machine, 4096)
            except OSError:
                continue
            for frame in decoder.feed(data):
                self.heard.append(from_frame(frame))
                for answer in self._answers(self.heard[-1]):
                    os.write(self._cable.machine, wire(answer))

    def _answers(self, asked: MachineMessage) -> Iterator[MachineMessage]:
        if isinstance(asked, Hello):
            yield HelloReply(msg_id=asked.msg_id, model="m", fw="1", boot_id=self.boot_id, caps=CAPS)
        elif isinstance(asked, Status):
            state = MachineState.READY
            yield StatusReply(msg_id=asked.msg_id, boot_id=self.boot_id, state=state, order_uuid=None, faults=[])
        elif hasattr(asked, "msg_id"):
            counts = {"boots": 1, "total": 5, "paid": 5, "free": 0, "test": 0}
            yield CountersReply(msg_id=asked.msg_id, boot_id=self.boot_id, by_drink={}, **counts)
