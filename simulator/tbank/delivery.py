"""How the bank posts a notification: accepted is HTTP 200 whose body is `OK` and nothing else."""

import threading

import requests

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0  # published: the bank waits so long
MAX_ANSWER = 1024
USER_AGENT = "coffee-simulator-tbank"


class NotAcknowledged(requests.RequestException):
    """HTTP 200, but the body is not `OK`."""


class OkPost:
    """Posts one body and tells the HTTP status. One session per thread: sessions are not shared safely."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._sessions: list[requests.Session] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Raise requests.RequestException when there is no answer, or none that counts."""
        with self._session().post(
            url,
            data=body,
            headers=headers | {"User-Agent": USER_AGENT},
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
        ) as answer:
            said = answer.raw.read(MAX_ANSWER)
            if answer.status_code == requests.codes.ok and said != b"OK":
                raise NotAcknowledged
            return answer.status_code

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
