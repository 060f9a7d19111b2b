"""HTTP with one deadline for connecting and one for the whole answer, however many addresses there are to try and
however slowly bytes drip in. A socket's own timeout bounds only each wait.
"""

import http.client
import io
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from cloud.http.addresses import is_public

Clock = Callable[[], float]


class PrivateAddress(OSError):
    """A name of none but addresses that are not public."""


class Deadline:
    """When the answer under way must be whole: `seconds` after the question left, by a steady clock."""

    def __init__(self, seconds: float = 0.0, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        """May be another for each call on a kept connection."""
        self._clock = clock
        self._until = float("inf")

    def left(self) -> float:
        """Seconds left. Raises `TimeoutError` when there are none."""
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the answer trickles")
        return left

    def response_class(self, sock: socket.socket, *more: Any, **named: Any) -> http.client.HTTPResponse:
        """What an `http.client` connection makes an answer with, once its question has left."""
        self._until = self._clock() + self.seconds
        return http.client.HTTPResponse(_Readable(sock, self), *more, **named)  # type: ignore[arg-type]  # makefile is all it asks for


class _Readable:
    """A socket, as far as an answer needs it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Bytes(self._sock, self._deadline))


class _Bytes(io.RawIOBase):
    """Bytes as they come; each wait ends with the deadline of all."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        self._sock.settimeout(self._deadline.left())
        return self._raw.readinto(into)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def connect(
    address: tuple[str, int], timeout: float, source_address: tuple[str, int] | None = None,
    socket_options: Sequence[Any] | None = None, *, public_only: bool = False, clock: Clock = time.monotonic,
) -> socket.socket:  # fmt: skip
    """As `socket.create_connection`, but all addresses of the name share the time: none is given all of it.

    `public_only`: raises `PrivateAddress` where the name has no other addresses than those of networks like ours.
    """
    found = socket.getaddrinfo(*address, 0, socket.SOCK_STREAM)
    if public_only:
        found = [one for one in found if is_public(str(one[4][0]))]
        if not found:
            raise PrivateAddress
    until = clock() + timeout
    broken: OSError = OSError("the name has no address")
    for number, (family, kind, protocol, _, where) in enumerate(found):
        share = (until - clock()) / (len(found) - number)
        if share <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            for option in socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(share)
            if source_address:
                sock.bind(source_address)
            sock.connect(where)
        except OSError as error:
            sock.close()
            broken = error
        else:
            sock.settimeout(timeout)
            return sock
    raise broken
