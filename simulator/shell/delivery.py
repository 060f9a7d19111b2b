"""Sends due notifications over HTTP, one `step` at a time; the threads around it are only the outermost shell."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

import requests

from simulator.shell.alarm import Alarm
from simulator.shell.clock import Clock
from simulator.shell.webhooks import Delivery, WebhookQueue

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0  # undocumented; a receiver this slow has failed
MAX_ANSWER = 65_536  # bytes of an answer read, so that its connection can be used again
SENDERS = 4  # notifications in flight at once
MAX_NAP = 1.0  # seconds; a clock that does not run with the real one is looked at this often
USER_AGENT = "coffee-simulator"

Post = Callable[[str, bytes, dict[str, str]], int]


class HttpPost:
    """Posts one body and tells the HTTP status. One session per thread: sessions are not shared safely."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._sessions: list[requests.Session] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Raise requests.RequestException when there is no answer. Redirects are not followed."""
        timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
        with self._session().post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False, stream=True
        ) as answer:
            self._judge(answer.status_code, answer.raw.read(MAX_ANSWER))
            return answer.status_code

    def _judge(self, status: int, said: bytes) -> None:
        """Raise requests.RequestException when an answer does not count."""

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = False  # a proxy of the environment has no business with loopback
            self._sessions.append(session)
        return session


class WebhookSender:
    """`step` sends at most one due notification; safe to call from several threads."""

    def __init__(self, queue: WebhookQueue, post: Post, clock: Clock) -> None:
        self._queue = queue
        self._post = post
        self._clock = clock

    def step(self, now: datetime) -> datetime | None:
        """Send one notification due by `now`; when the next one is due."""
        delivery = self._queue.take(now)
        if delivery is not None:
            self._queue.answered(delivery, self._send(delivery), self._clock())
        return self._queue.next_due

    def _send(self, delivery: Delivery) -> int | str:
        if self._queue.withheld():
            return "withheld"
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        claimed = self._queue.mischief.forwarded_for
        if claimed is not None:
            headers["X-Forwarded-For"] = claimed
        try:
            return self._post(delivery.url, delivery.notification.body, headers)
        except requests.RequestException as error:
            return type(error).__name__
        except Exception as error:  # an address of no host, say: this try has failed, and is told and repeated
            log.exception("a notification could not be sent")
            return type(error).__name__


class SenderThreads:
    """Runs `step(now) -> next wake` in a few threads until closed."""

    def __init__(self, step: Callable[[datetime], datetime | None], clock: Clock, alarm: Alarm) -> None:
        self._step = step
        self._clock = clock
        self._alarm = alarm
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"webhooks-{number}", daemon=True) for number in range(SENDERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Wait for what is in flight; what still waits is dropped."""
        self._closing = True
        self._alarm.ring(everybody=True)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._closing:
            heard = self._alarm.rung
            wake = None
            try:
                wake = self._step(self._clock())
            except Exception:  # a sender must outlive one bad notification
                log.exception("a webhook step failed")
            nap = MAX_NAP if wake is None else (wake - self._clock()).total_seconds()
            if nap > 0 and not self._closing:
                self._alarm.sleep(heard, min(nap, MAX_NAP))
