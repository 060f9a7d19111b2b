"""Sends callbacks until each is taken, signed anew at every try; and the mischief of a bad line or a bad program."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import requests

from simulator.custom.signing import envelope

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_COPIES = 20
MAX_LATE_S = 86_400
RETRY_S = 1.0  # before the second try; twice as long before each further one
TELL_FOR = timedelta(hours=24)
MAX_NAP_S = 1.0  # a clock that does not run with the real one is looked at this often
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


@dataclass
class _Waiting:
    """One callback on its way: `due` is when its next try leaves."""

    told: dict[str, object]
    born: datetime
    due: datetime
    tries: int = 0


class Callbacks:
    """A queue, and one thread that empties it. Without `start` nothing leaves before `send_waiting` or `step`."""

    def __init__(self, url: str, secret: str, clock: Callable[[], datetime]) -> None:
        self.url = url
        self.secret = secret
        self.mischief = Mischief()
        self.sent: deque[Sent] = deque(maxlen=MAX_WAITING)
        self._clock = clock
        self._waiting: deque[_Waiting] = deque(maxlen=MAX_WAITING)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False
        self._thread = threading.Thread(target=self._run, name="custom-callbacks", daemon=True)

    def tell(self, told: Mapping[str, object]) -> None:
        """Queue one."""
        if self.url and not self.mischief.silent:
            now = self._clock()
            self._waiting.append(_Waiting({**told, "nonce": secrets.token_hex(16)}, now, now))
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
        """Try each that waits once, due or not; whether all were taken."""
        return self._try(self._taken_out())

    def step(self, now: datetime) -> datetime | None:
        """Try each that is due; when the next one is."""
        waiting = self._taken_out()
        self._waiting.extend(one for one in waiting if one.due > now)
        self._try([one for one in waiting if one.due <= now])
        return min((one.due for one in list(self._waiting)), default=None)

    def _taken_out(self) -> list[_Waiting]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _try(self, waiting: list[_Waiting]) -> bool:
        if self.mischief.reorder:
            waiting.reverse()
        refused = [one for one in waiting if self._send(one.told) != 200]
        for one in refused:
            self._put_off(one)
        return not refused

    def _put_off(self, one: _Waiting) -> None:
        one.due = self._clock() + timedelta(seconds=RETRY_S * 2**one.tries)
        one.tries += 1
        if one.due - one.born <= TELL_FOR:
            self._waiting.append(one)
        else:
            log.warning("a callback is given up after %d tries", one.tries)

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
            self._wake.clear()
            wake = self.step(self._clock())
            left_s = None if wake is None else min((wake - self._clock()).total_seconds(), MAX_NAP_S)
            if left_s is None or left_s > 0:
                self._wake.wait(left_s)
