"""Sends callbacks until each is taken, signed anew at every try; and the mischief of a bad line or a bad program."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import requests

from simulator.custom.signing import envelope

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_COPIES = 20
MAX_LATE_S = 86_400
RETRY_S = 1.0
TIMEOUT_S = 10.0


class Mischief(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """silent: none leaves. copies: each is sent so often more, as it was. wrong_key: signed with another key.
    late_s: its `time` is so old. reorder: the newest leaves first.
    """

    silent: bool = False
    copies: int = 0
    wrong_key: bool = False
    late_s: int = 0
    reorder: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.copies <= MAX_COPIES:
            raise ValueError(f"copies is from 0 to {MAX_COPIES}")
        if abs(self.late_s) > MAX_LATE_S:
            raise ValueError("late_s is at most a day")


@dataclass(frozen=True)
class Sent:
    """One try, and what became of it: an HTTP status, or 0."""

    body: dict[str, str]
    status: int


class Callbacks:
    """A queue, and one thread that empties it. Without `start` nothing leaves before `send_waiting`."""

    def __init__(self, url: str, secret: str, clock: Callable[[], datetime]) -> None:
        self.url = url
        self.secret = secret
        self.mischief = Mischief()
        self.sent: deque[Sent] = deque(maxlen=MAX_WAITING)
        self._clock = clock
        self._waiting: deque[dict[str, object]] = deque(maxlen=MAX_WAITING)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False
        self._thread = threading.Thread(target=self._run, name="custom-callbacks", daemon=True)

    def tell(self, told: Mapping[str, object]) -> None:
        """Queue one."""
        if self.url and not self.mischief.silent:
            self._waiting.append({**told, "nonce": secrets.token_hex(16)})
            self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._session.close()

    def send_waiting(self) -> bool:
        """Try each that waits once; whether all were taken."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self.mischief.reorder:
            waiting.reverse()
        refused = [told for told in waiting if self._send(told) != 200]
        self._waiting.extend(refused)
        return not refused

    def _send(self, told: dict[str, object]) -> int:
        time = int(self._clock().timestamp()) - self.mischief.late_s
        key = self.secret[::-1] if self.mischief.wrong_key else self.secret
        body = envelope(key, "callback", {**told, "time": time})
        for _ in range(self.mischief.copies):
            self.post(body)
        return self.post(body)

    def post(self, body: dict[str, str]) -> int:
        """Send a body as it is, also one that was sent before."""
        try:
            status = self._session.post(self.url, json=body, timeout=TIMEOUT_S, allow_redirects=False).status_code
        except requests.RequestException as error:
            log.warning("callback not delivered: %s", type(error).__name__)
            status = 0
        except Exception:  # an address of no host, say: no answer either, and others wait
            log.exception("a callback could not be sent")
            status = 0
        self.sent.append(Sent(body, status))
        return status

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(RETRY_S if self._waiting else None)
            self._wake.clear()
            if not self._closing.is_set() and not self.send_waiting():
                self._closing.wait(RETRY_S)
