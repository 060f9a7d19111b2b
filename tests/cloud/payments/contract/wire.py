"""A real socket between a client and its provider on which every provider's calls can go wrong in the same ways."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import requests

from tests.cloud.payments.played_server import PlayedHandler, PlayedServer

Rewrite = Callable[[bytes], bytes]


class Trouble(Enum):
    """What the client gets in place of an answer; after none of them it can know what happened."""

    RESET = "reset"
    SILENCE = "silence"
    SERVER_ERROR = "500"
    GATEWAY_PAGE = "502 with a page"
    LOGIN_PAGE = "200 with a page"
    EMPTY = "200 with nothing"
    OTHER_JSON = "200 with JSON that is no answer"
    BROKEN_JSON = "half the JSON"
    CUT_OFF = "half the bytes it promised"


@dataclass
class Strike:
    """One trouble still to come. `after`: the provider does the act, only its answer suffers."""

    trouble: Trouble
    after: bool
    acts_only: bool


class Wire:
    """Forwards to the provider at `upstream`; `is_act` tells calls that may change something from questions."""

    def __init__(self, upstream: str, is_act: Callable[[str, str], bool]) -> None:
        parts = urlsplit(upstream)
        self.upstream = f"{parts.scheme}://{parts.netloc}"
        self.calls: list[str] = []
        self._is_act = is_act
        self._strikes: list[Strike] = []
        self._rewrites: list[Rewrite] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{parts.path}"
        self._server.begin()

    def trouble(self, trouble: Trouble, *, after: bool = False, acts_only: bool = True, times: int = 1) -> None:
        """The next `times` calls (of those that may change something) go wrong so."""
        with self._lock:
            self._strikes += [Strike(trouble, after, acts_only)] * times

    def rewrite_next(self, rewrite: Rewrite) -> None:
        """The next good answer to a question says something else."""
        with self._lock:
            self._rewrites.append(rewrite)

    def strike(self, method: str, path: str) -> Strike | None:
        """The trouble this call meets."""
        act = self._is_act(method, path)
        with self._lock:
            self.calls.append(f"{method} {path}")
            found = next((s for s in self._strikes if act or not s.acts_only), None)
            if found is not None:
                self._strikes.remove(found)
            return found

    def rewritten(self, method: str, path: str, body: bytes) -> bytes:
        """The answer as a rewrite has it."""
        with self._lock:
            rewrite = self._rewrites.pop() if self._rewrites and not self._is_act(method, path) else None
        return rewrite(body) if rewrite else body

    def be_silent(self) -> None:
        """Say nothing until the test is over, or longer than anybody in it waits."""
        self._closing.wait(20)

    def close(self) -> None:
        self._closing.set()
        self._server.end()


def _server(wire: Wire) -> PlayedServer:
    class Handler(PlayedHandler):
        wbufsize = -1

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            strike = wire.strike(self.command, self.path)
            if strike is not None and not strike.after:
                self._suffer(strike.trouble, b'{"id": "never sent"}')
                return
            answer = requests.request(
                self.command, wire.upstream + self.path, data=body, headers=self._passed_on(), timeout=30
            )
            if strike is not None:
                self._suffer(strike.trouble, answer.content)
                return
            told = wire.rewritten(self.command, self.path, answer.content)
            self._answer(answer.status_code, told, answer.headers.get("Content-Type", ""))

        do_GET = do_POST = forward  # noqa: N815 (the names http.server looks for)

        def _passed_on(self) -> dict[str, str]:
            left = {"host", "connection", "content-length", "accept-encoding"}
            return {name: value for name, value in self.headers.items() if name.lower() not in left}

        def _suffer(self, trouble: Trouble, true: bytes) -> None:
            match trouble:
                case Trouble.RESET:
                    self.reset()
                case Trouble.SILENCE:
                    wire.be_silent()
                    self.reset()
                case Trouble.SERVER_ERROR:
                    self._answer(500, b"")
                case Trouble.GATEWAY_PAGE:
                    self._answer(502, b"<html>Bad Gateway</html>", "text/html")
                case Trouble.LOGIN_PAGE:
                    self._answer(200, b"<html>Please log in</html>", "text/html")
                case Trouble.EMPTY:
                    self._answer(200, b"")
                case Trouble.OTHER_JSON:
                    self._answer(200, b'{"greeting": "hello"}')
                case Trouble.BROKEN_JSON:
                    self._answer(200, true[: len(true) // 2])
                case Trouble.CUT_OFF:
                    self._answer(200, true[: len(true) // 2], promised=len(true))

        def _answer(self, status: int, body: bytes, kind: str = "application/json", promised: int = -1) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) if promised < 0 else promised))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            self.close_connection = promised >= 0

        def finish(self) -> None:
            try:
                super().finish()
            except (ConnectionError, ValueError):
                self.close_connection = True

    return PlayedServer(Handler)
