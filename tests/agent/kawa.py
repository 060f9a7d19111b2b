"""The Kawa 3, a machine nobody makes: it behaves as the simulated one and speaks bytes, keys and words of its own.

Written from the sheet in docs/machine-profiles.md, without the agent's codec: what both understand alike is understood.
"""

import json
import os
import pty
import struct
import threading
import time
import tty
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from protocol.frames import Frame
from protocol.machine import CODES, MachineMessage, to_frame
from simulator.machine import CoffeeMachine, Faults, Memory, Timing
from simulator.machine.voice import PowerCut

THEIR_BYTE = {
    **{0x20: 0x48, 0xA0: 0x68, 0x21: 0x53, 0xA1: 0x73, 0x22: 0x4D, 0xA2: 0x6D, 0x24: 0x4F, 0xA4: 0x6F},
    **{0x25: 0x43, 0xA5: 0x63, 0x26: 0x52, 0xA6: 0x72, 0x27: 0x41},
    **{0xC0: 0x31, 0xC1: 0x32, 0xC2: 0x33, 0xC3: 0x34, 0xC4: 0x35, 0xC5: 0x36},
}
OUR_BYTE = {theirs: ours for ours, theirs in THEIR_BYTE.items()}
THEIR_KEY = {
    **{"orderUuid": "ord", "drinkNo": "sku", "textFlag": "cup", "price": "kop", "msgId": "n", "bootId": "run"},
    **{"evt": "seq", "state": "mode", "faults": "alarms", "code": "alarm", "phase": "stage", "stage": "step"},
    **{"ok": "yes", "byDrink": "skus", "jobUuid": "job", "kind": "prog"},
}
OUR_KEY = {theirs: ours for ours, theirs in THEIR_KEY.items()}
MODES = ["boot", "heating", "ready", "brewing", "rinsing", "cleaning", "service", "fault", "off"]
ALARMS = {"no_water": "A01", "no_beans": "A02", "no_milk": "A03", "busy": "A90"}
STAGES = {"accepted": "NEW", "brewing": "RUN", "done": "OK", "failed": "ERR", "interrupted": "CUT", "unknown": "?"}
SKUS = {"americano": "1001", "latte": "1002", "cocoa": "1003"}
CUPS = {"S": "0", "M": "1", "L": "2"}


def modbus(data: bytes) -> bytes:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return struct.pack("<H", register)


def packed(command: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False).encode()
    summed = struct.pack("<H", len(text)) + bytes([command]) + text
    return b"\x7e\x5a" + summed + modbus(summed) + b"\r"


def unpacked(buffer: bytearray) -> list[tuple[int, dict[str, Any]]]:
    """Whole frames at the start of the buffer; a tidy host is taken for granted."""
    found = []
    while len(buffer) >= 5:
        assert buffer[:2] == b"\x7e\x5a", "the host sends what is no frame of ours"
        length = struct.unpack_from("<H", buffer, 2)[0]
        end = 5 + length
        if len(buffer) < end + 3:
            break
        assert modbus(bytes(buffer[2:end])) == buffer[end : end + 2]
        assert buffer[end + 2] == 0x0D
        found.append((buffer[4], json.loads(bytes(buffer[5:end]))))
        del buffer[: end + 3]
    return found


def to_theirs(message: MachineMessage) -> bytes:
    said = {THEIR_KEY.get(key, key): _theirs(key, value) for key, value in json.loads(to_frame(message).body).items()}
    said.pop("hist", None)
    return packed(THEIR_BYTE[message.command], said)


def _theirs(key: str, value: Any) -> Any:
    match key:
        case "state":
            return MODES.index(value)
        case "faults":
            return [ALARMS.get(one, one) for one in value]
        case "code":
            return ALARMS.get(value, value)
        case "phase" | "lastPhase":
            return STAGES.get(value, value)
        case "ok":
            return int(value)
        case "drinks":
            return [SKUS.get(one, one) for one in value]
        case "byDrink":
            return {SKUS.get(no, no): count for no, count in value.items()}
    return value


def to_ours(command: int, said: dict[str, Any]) -> Frame:
    ours = {OUR_KEY.get(key, key): value for key, value in said.items()}
    if "drinkNo" in ours:
        ours["drinkNo"] = next((no for no, sku in SKUS.items() if sku == ours["drinkNo"]), ours["drinkNo"])
    if "textFlag" in ours:
        ours["textFlag"] = CUPS[ours["textFlag"]]
    if "kind" in ours:
        ours["kind"] = {1: "rinse", 2: "clean"}[ours["kind"]]
    return Frame(OUR_BYTE[command], json.dumps(ours).encode())


class Kawa:
    """`with Kawa(link) as machine:` on a pty under that name; `memory.cups` is the ground truth."""

    def __init__(self, link: Path) -> None:
        self.faults = Faults(Random(1))
        self.memory = Memory()
        runs = iter(f"run-{number}" for number in range(1000))
        timing = Timing(brew_s=0.6, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5, rinse_s=0.4)
        self._machine = CoffeeMachine(self.memory, self.faults, lambda: next(runs), timing=timing)
        self._host, self._end = pty.openpty()
        tty.setraw(self._end)
        os.set_blocking(self._host, False)
        link.symlink_to(os.ttyname(self._end))
        self.heard: list[tuple[int, dict[str, Any]]] = []
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(5)
        os.close(self._host)
        os.close(self._end)
        assert self.error is None, self.error

    def cups(self, order_id: str) -> int:
        return sum(cup.is_full for cup in self.memory.cups if cup.order_uuid == order_id)

    def _run(self) -> None:
        buffer = bytearray()
        try:
            while not self._stop.wait(0.005):
                self._say(self._machine.step(time.monotonic()))
                try:
                    buffer += os.read(self._host, 4096)
                except BlockingIOError:
                    continue
                for command, said in unpacked(buffer):
                    self.heard.append((command, said))
                    self._say(self._machine.receive(time.monotonic(), to_ours(command, said)))
        except Exception as error:  # noqa: BLE001 - whatever it was, the test must say so
            self.error = error

    def _say(self, effects: list[Any]) -> None:
        for effect in effects:
            if not isinstance(effect, PowerCut):
                assert type(effect) is CODES[effect.command]
                os.write(self._host, to_theirs(effect))
