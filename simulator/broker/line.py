"""One client's TCP connection: bytes to packets and back, silence, back pressure, and the cuts that tests order."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import cast

from simulator.broker.conversation import Conversation
from simulator.broker.hub import Hub
from simulator.broker.packets import Splitter
from simulator.broker.reasons import Violation

_GATHERED_BYTES = 1 << 16
"""What is written during one turn of the loop goes out at once, but not more than this."""
_LINGER_S = 2.0
"""How long a client that does not read may take to get its last words."""


class SocketLine(asyncio.Protocol):
    """A `Line` to its conversation; it tells `on_open` and `on_lost` when it comes and goes."""

    def __init__(
        self, hub: Hub, on_open: Callable[["SocketLine"], None], on_lost: Callable[["SocketLine"], None]
    ) -> None:
        self._hub = hub
        self._on_open = on_open
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter(hub.limits.packet_bytes)
        self._gathered = bytearray()
        self._is_closing = False
        self._silence_s = 0.0
        self._heard_at = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._conversation: Conversation
        self.is_congested = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=self._hub.limits.unread_bytes)
        self._conversation = Conversation(self._hub, self)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        now = self._heard_at = time.monotonic()
        client_id, is_last = self._conversation.client_id, False
        if client_id is not None:
            data, is_last = self._hub.faults.cut_received(client_id, data)
        try:
            for first, body in self._splitter.feed(data):
                self._conversation.receive(first, body, now)
                if self._is_closing:
                    break
        except Violation as violation:
            self._conversation.refuse(violation, now)
        self._hub.settle(now)
        if is_last:
            self.hang_up()

    def pause_writing(self) -> None:
        self.is_congested = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_congested = False
        self._transport.resume_reading()
        self._conversation.deliver(time.monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        for alarm in (self._silence, self._linger):
            if alarm is not None:
                alarm.cancel()
        self._conversation.lost(time.monotonic())
        self._on_lost(self)

    # Called by the conversation.

    def write(self, data: bytes) -> None:
        if self._is_closing:
            return
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered += data
        if len(self._gathered) > _GATHERED_BYTES:
            self._flush()

    def write_later(self, delay_s: float, data: bytes) -> None:
        self._loop.call_later(delay_s, self.write, data)

    def allow_silence(self, seconds: float) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence_s, self._heard_at = seconds, time.monotonic()
        self._silence = self._loop.call_later(seconds, self._listen) if seconds else None

    def hang_up(self) -> None:
        self._flush()
        if not self._is_closing:
            self._is_closing = True
            self._transport.close()
            self._linger = self._loop.call_later(_LINGER_S, self._transport.abort)

    def abort(self) -> None:
        self._is_closing = True
        self._transport.abort()

    def _flush(self) -> None:
        data, self._gathered = bytes(self._gathered), bytearray()
        if not data or self._is_closing:
            return
        client_id, is_last = self._conversation.client_id, False
        if client_id is not None:
            data, is_last = self._hub.faults.cut_sent(client_id, data)
        self._transport.write(data)
        if is_last:
            self.hang_up()

    def _listen(self) -> None:
        now = time.monotonic()
        left = self._heard_at + self._silence_s - now
        if left > 0:
            self._silence = self._loop.call_later(left, self._listen)
        else:
            self._conversation.silent(now)
            self._hub.settle(now)
