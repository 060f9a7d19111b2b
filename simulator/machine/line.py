"""Carries a wire's bytes over something real: a pty under a stable name, or a TCP port. One thread, no polling.

A byte in is answered in the same turn of the loop; in between it sleeps until the wire's next waking time.
"""

import contextlib
import errno
import os
import pty
import secrets
import select
import socket
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from simulator.machine.wire import Turn

_READ_SIZE = 4096


class Port(Protocol):
    """Where the host plugs in. `write` drops what nobody takes, as a UART does."""

    def plug(self) -> None: ...

    def unplug(self) -> None: ...

    def close(self) -> None:
        """Unplug for good."""

    def files(self) -> list[int]:
        """Descriptors worth waiting for; none while unplugged."""

    def read(self, file: int) -> bytes: ...

    def write(self, data: bytes) -> None: ...


class PtyPort:
    """A pty whose name is kept in a symlink. Unplugging hangs it up; plugging in again makes another one.

    ValueError when something stands under the symlink's name that is none: it is not ours to replace.
    """

    def __init__(self, link: Path) -> None:
        if os.path.lexists(link) and not link.is_symlink():
            raise ValueError(f"{link} is there and is no symlink: give a name that is free")
        self._link = link
        self._pair: tuple[int, int] | None = None
        self._spare: tuple[int, int] | None = None

    def plug(self) -> None:
        if self._pair is None:
            self._pair, self._spare = self._spare or self._open(), None
            self._show(os.ttyname(self._pair[1]))

    def unplug(self) -> None:
        """Opens the next pty before it closes this one: else the system may give the same name again."""
        if self._pair is not None:
            self._spare = self._open()
            self._hang_up(self._pair)
            self._pair = None

    def close(self) -> None:
        for pair in (self._pair, self._spare):
            if pair:
                self._hang_up(pair)
        self._pair = self._spare = None

    def files(self) -> list[int]:
        return [self._pair[0]] if self._pair else []

    def read(self, file: int) -> bytes:
        try:
            return os.read(file, _READ_SIZE)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EAGAIN):
                return b""
            raise

    def write(self, data: bytes) -> None:
        if self._pair:
            with contextlib.suppress(BlockingIOError):
                os.write(self._pair[0], data)

    def _open(self) -> tuple[int, int]:
        """Our own hold on the slave keeps the master readable while no host has it open."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        return master, slave

    def _show(self, name: str) -> None:
        self._link.parent.mkdir(parents=True, exist_ok=True)
        if not self._link.is_symlink():
            self._link.symlink_to(name)  # fails where anything has come to stand meanwhile
            return
        beside = self._link.with_name(f".tty-{secrets.token_hex(8)}")
        beside.symlink_to(name)
        os.replace(beside, self._link)

    def _hang_up(self, pair: tuple[int, int]) -> None:
        if self._link.is_symlink() and os.readlink(self._link) == os.ttyname(pair[1]):
            self._link.unlink()
        for file in pair:
            os.close(file)


class TcpPort:
    """A TCP port of 127.0.0.1 for hosts without a pty (`socket://127.0.0.1:PORT`); the newest caller has the line."""

    def __init__(self, port: int = 0) -> None:
        self.number = port
        self._listener: socket.socket | None = None
        self._caller: socket.socket | None = None

    def plug(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.number))
            self._listener.setblocking(False)
            self.number = self._listener.getsockname()[1]

    def unplug(self) -> None:
        for end in (self._caller, self._listener):
            if end:
                end.close()
        self._caller = self._listener = None

    def close(self) -> None:
        self.unplug()

    def files(self) -> list[int]:
        return [end.fileno() for end in (self._listener, self._caller) if end]

    def read(self, file: int) -> bytes:
        if self._listener and file == self._listener.fileno():
            self._accept(self._listener)
            return b""
        if self._caller is None or file != self._caller.fileno():
            return b""
        try:
            data = self._caller.recv(_READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def write(self, data: bytes) -> None:
        if self._caller is None:
            return
        try:
            self._caller.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up()

    def _accept(self, listener: socket.socket) -> None:
        try:
            caller, _ = listener.accept()
        except OSError:  # gone again before we looked
            return
        self._hang_up()
        caller.setblocking(False)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._caller = caller

    def _hang_up(self) -> None:
        if self._caller:
            self._caller.close()
        self._caller = None


class Line:
    """The thread between a port and a wire. `turn` is called with now and the bytes heard; it must be quick."""

    def __init__(
        self,
        port: Port,
        turn: Callable[[float, bytes], Turn],
        is_plugged: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._turn = turn
        self._is_plugged = is_plugged
        self._clock = clock
        self._closing = False
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self._thread = threading.Thread(target=self._run, name="machine-line", daemon=True)

    def start(self) -> None:
        """The port is there when this returns."""
        self._port.plug()
        self._thread.start()

    def wake(self) -> None:
        """Something changed outside: take a turn now."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._ring, b"!")

    def close(self) -> None:
        """Ends the thread and the port."""
        self._closing = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._port.close()
        os.close(self._bell)
        os.close(self._ring)

    def _run(self) -> None:
        heard = b""
        while not self._closing:
            turn = self._turn(self._clock(), heard)
            for piece in turn.pieces:
                self._port.write(piece)
            if self._is_plugged():
                self._port.plug()
            else:
                self._port.unplug()
            heard = self._listen(max(0.0, turn.wake_at - self._clock()))

    def _listen(self, timeout: float) -> bytes:
        ready, _, _ = select.select([self._bell, *self._port.files()], [], [], timeout)
        heard = b""
        for file in ready:
            if file == self._bell:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell, _READ_SIZE)
            else:
                heard += self._port.read(file)
        return heard
