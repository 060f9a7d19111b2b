"""A TCP address in front of another that can be shut: connections are then refused, and those that stood are cut."""

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_LOOK_S = 0.1


class Gate:
    """Open while the block lasts, except between `shut()` and `open()`. Always on the same port of `host`."""

    def __init__(self, to_port: int, host: str = "127.0.0.1", port: int = 0) -> None:
        self._to_port = to_port
        self._host, self._port = host, port
        self._server: socket.socket | None = None
        self._passing: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return f"http://{self._host}:{self._port}"

    def open(self) -> None:
        """Let through whoever comes; harmless when it is open."""
        if self._server is not None:
            return
        self._server = socket.create_server((self._host, self._port))
        self._port = self._server.getsockname()[1]
        self._pass(self._accept, self._server)

    def shut(self) -> None:
        """Refuse everybody; whoever is passing is cut off."""
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        server.close()
        for thread in self._passing:
            thread.join()
        self._passing.clear()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                comer, _ = server.accept()
            except OSError:
                return
            self._pass(self._carry, comer)

    def _carry(self, comer: socket.socket) -> None:
        with comer, suppress(OSError), socket.create_connection(("127.0.0.1", self._to_port)) as inside:
            other = {comer: inside, inside: comer}
            while self._server is not None:
                for end in select.select(list(other), [], [], _LOOK_S)[0]:
                    heard = end.recv(65536)
                    if not heard:
                        return
                    other[end].sendall(heard)

    def _pass(self, what: object, who: socket.socket) -> None:
        thread = threading.Thread(target=what, args=(who,), daemon=True)  # type: ignore[arg-type]  # one of the two above
        self._passing.append(thread)
        thread.start()
