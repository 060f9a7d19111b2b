"""A mailbox behind a small SMTP server on loopback: takes letters, refuses an address when told to."""

import email
import email.policy
import socketserver
import threading
from typing import Self

from simulator.messengers.chats import Chats
from simulator.messengers.faults import Fault, FaultKind
from simulator.shell.faults import FaultBoard


class _Talk(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        self._say("220 simulated mail")
        to = ""
        while line := self.rfile.readline(2000).decode("latin-1").strip():
            verb = line.split(" ", 1)[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                if not self._take(to):
                    return
            elif verb == "RCPT":
                fault = self.server.faults.strike("rcpt")
                to = line.partition("<")[2].partition(">")[0]
                self._say("550 no such mailbox" if fault is not None and fault.kind is FaultKind.REFUSED else "250 ok")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _take(self, to: str) -> bool:
        lines = []
        while (line := self.rfile.readline(100_000)) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        letter = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        body = letter.get_body()
        text = body.get_content() if body is not None else ""
        fault = self.server.faults.strike("data")
        if fault is None or fault.kind is FaultKind.LOST_ANSWER:
            headers = {name.lower(): str(value) for name, value in letter.items()}
            self.server.chats.post(to, text, [], **headers)
        if fault is not None and fault.kind is FaultKind.LOST_ANSWER:
            return False
        self._say("250 taken" if fault is None else "451 later")
        return True

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, chats: Chats, faults: FaultBoard[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.chats = chats
        self.faults = faults


class Mailbox:
    """Takes letters from `start` to `close`."""

    def __init__(self, chats: Chats, faults: FaultBoard[Fault]) -> None:
        self._server = _Server(chats, faults)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mailbox", daemon=True)

    @property
    def url(self) -> str:
        """What COFFEE_SMTP_URL is set to."""
        return f"smtp://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
