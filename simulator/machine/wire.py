"""The machine's end of the serial wire: bytes to frames and back, link NAKs, and everything a bad line does to a frame.

Pure: bytes and time in, bytes and the next waking time out. `line` carries them over a real pty.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Literal

from protocol.frames import Frame
from protocol.machine import (
    DoneEvent,
    FailedEvent,
    LinkNak,
    MachineMessage,
    MakeDrink,
    MakeReply,
    ProgressEvent,
    to_frame,
)
from simulator.machine.behaviour import CoffeeMachine
from simulator.machine.faults import Faults
from simulator.machine.framing import SYNC, TAIL, FrameDecoder, encode
from simulator.machine.own_words import worded
from simulator.machine.voice import Effect, PowerCut

INTER_BYTE_GAP_S = 0.1
NAKS_PER_SECOND = 2
_DELAY_S = 2.0
_SPLIT_GAP_S = 0.0005
_MOST_NOISE = 32
_MAX_HELD = 1024
"""Frames a delaying line holds at most; the oldest go out early."""
_NAK_WORDS: dict[str, Literal["crc", "len", "tail", "json"]] = {
    "gap": "len",
    "len": "len",
    "crc": "crc",
    "tail": "tail",
    "json": "json",
}
_UNKNOWN_FRAME = Frame(0xCE, b'{"x":1}')


@dataclass(frozen=True, slots=True)
class Turn:
    """What goes out now, each piece in a write of its own, and when to come again at the latest."""

    pieces: list[bytes]
    wake_at: float


class Wire:
    """One machine on one wire."""

    def __init__(self, machine: CoffeeMachine, faults: Faults, random: Random) -> None:
        self.machine = machine
        self._faults = faults
        self._random = random
        self._decoder = FrameDecoder()
        self._last_byte_at = 0.0
        self._nak_times: deque[float] = deque(maxlen=NAKS_PER_SECOND)
        self._held: list[tuple[float, int, list[bytes]]] = []
        self._in_order = 0
        self._splitting: deque[bytes] = deque()
        self._next_piece_at = 0.0
        self._overtaken: bytes | None = None

    def turn(self, now: float, heard: bytes = b"") -> Turn:
        """Hear these bytes, do what is due, say what is to be said."""
        if heard and self._faults.is_on("echo"):
            self._hold(now, [heard])
        for frame in self._frames(now, heard):
            if frame.command == MakeDrink.command:
                self._faults.make_comes(now)
            if self._faults.is_on("silent"):  # it hung at this very make
                continue
            self._send(now, self.machine.receive(now, frame))
            self._send(now, self.machine.step(now))
        self._send(now, self.machine.step(now))
        return Turn(self._pieces(now), self._wake_at())

    def cut_power(self, now: float) -> None:
        """The mains plug is pulled and put back."""
        self._send(now, self.machine.cut_power(now))

    def _frames(self, now: float, heard: bytes) -> list[Frame]:
        if self._faults.is_on("silent") or not self.machine.is_powered:
            if self._decoder.waiting:
                self._decoder = FrameDecoder()
            return []
        before = self._decoder.stats.faults.copy()
        frames = []
        if self._decoder.waiting and now >= self._last_byte_at + INTER_BYTE_GAP_S:
            frames += self._decoder.give_up()
        frames += self._decoder.feed(heard)
        if heard:
            self._last_byte_at = now
        for why in self._decoder.stats.faults - before:
            self._say(now, LinkNak(why=_NAK_WORDS[why]))
        return frames

    def _send(self, now: float, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, PowerCut):
                self._held = [held for held in self._held if held[0] <= now]
                self._overtaken = None
                self._decoder = FrameDecoder()
            else:
                self._say(now, effect)

    def _say(self, now: float, effect: MachineMessage | Frame) -> None:
        if isinstance(effect, LinkNak) and not self._may_nak(now):
            return
        frame = to_frame(effect) if isinstance(effect, MachineMessage) else effect
        if self._is_lost(frame):
            return
        if self._faults.fires("unknown_command"):
            self._hold(now, [encode(_UNKNOWN_FRAME)])
        if self._faults.fires("own_words", frame.command):
            frame = worded(frame)
        if self._faults.fires("unknown_keys", frame.command):
            frame = Frame(frame.command, frame.body[:-1] + b',"x":{"new":[1,null]}}')
        data = self._spoilt(frame.command, encode(frame))
        may_wait = frame.command == ProgressEvent.command and self._overtaken is None
        if may_wait and self._faults.fires("reorder_progress"):
            self._overtaken = data
            return
        self._put(now, frame.command, data)
        if _is_event(frame.command):
            if self._faults.fires("duplicate_events", frame.command):
                self._put(now, frame.command, data)
            if self._overtaken is not None:
                late, self._overtaken = self._overtaken, None
                self._put(now, ProgressEvent.command, late)

    def _may_nak(self, now: float) -> bool:
        if len(self._nak_times) == NAKS_PER_SECOND and now - self._nak_times[0] < 1:
            return False
        self._nak_times.append(now)
        return True

    def _is_lost(self, frame: Frame) -> bool:
        command = frame.command
        return bool(
            self._faults.is_on("silent")
            or self._faults.is_on("mute")
            or (command == MakeReply.command and self._faults.fires("drop_verdict"))
            or (command in (DoneEvent.command, FailedEvent.command) and self._faults.fires("drop_done"))
            or (0xA0 <= command <= 0xAF and self._faults.fires("drop_reply", command))
        )

    def _spoilt(self, command: int, data: bytes) -> bytes:
        """The frame as a bad line delivers it."""
        spoilt = bytearray(data)
        if self._faults.fires("corrupt_crc", command):
            spoilt[5] ^= 0x40
        if self._faults.fires("corrupt_length", command):
            spoilt[4] ^= 0x15
        if self._faults.fires("corrupt_tail", command):
            spoilt[-len(TAIL)] ^= 0xFF
        if self._faults.fires("garbage", command):
            noise = self._random.randbytes(self._random.randint(1, _MOST_NOISE))
            return noise.replace(SYNC, b"") + bytes(spoilt)
        return bytes(spoilt)

    def _put(self, now: float, command: int, data: bytes) -> None:
        delay = self._faults.fires("delay_frame", command)
        at = now + (delay.seconds or _DELAY_S) if delay else now
        split = self._faults.fires("split_bytes", command)
        self._hold(at, [data[i : i + 1] for i in range(len(data))] if split else [data])

    def _hold(self, at: float, pieces: list[bytes]) -> None:
        self._in_order += 1
        heapq.heappush(self._held, (at, self._in_order, pieces))

    def _pieces(self, now: float) -> list[bytes]:
        """What is due; a frame begun byte by byte is finished before the next."""
        due: list[bytes] = []
        while True:
            if self._splitting:
                if self._next_piece_at > now:
                    return due
                due.append(self._splitting.popleft())
                self._next_piece_at = now + _SPLIT_GAP_S
            elif self._held and (self._held[0][0] <= now or len(self._held) > _MAX_HELD):
                self._splitting.extend(heapq.heappop(self._held)[2])
                self._next_piece_at = now
            else:
                return due

    def _wake_at(self) -> float:
        moments = [self.machine.wake_at]
        if self._splitting:
            moments.append(self._next_piece_at)
        elif self._held:
            moments.append(self._held[0][0])
        if self._decoder.waiting:
            moments.append(self._last_byte_at + INTER_BYTE_GAP_S)
        return min(moments)


def _is_event(command: int) -> bool:
    return 0xC0 <= command <= 0xC4
