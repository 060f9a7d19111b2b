"""What all connections of one broker share: the switchboard, what each may do, and which are connected. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from simulator.broker.faults import Faults
from simulator.broker.limits import Limits
from simulator.broker.reasons import Reason
from simulator.broker.switchboard import Switchboard


@dataclass(frozen=True, slots=True)
class Access:
    """One thing a client wants to do; for "subscribe", `topic` is the filter, freed from `$share/GROUP/`."""

    client_id: str
    username: str | None
    action: Literal["publish", "subscribe"]
    topic: str


@dataclass(frozen=True, slots=True)
class Controlled:
    """The broker's answer, where it goes, and the names of the clients to disconnect."""

    topic: str
    payload: bytes
    thrown_out: frozenset[str]


class Rules:
    """`users`: name to password, None lets everyone in. `may`: asked before every publish and subscribe."""

    def __init__(self, users: Mapping[str, str] | None, may: Callable[[Access], bool]) -> None:
        self._users = users
        self._may = may

    def admits(self, username: str | None, password: bytes | None, _client_id: str) -> bool:
        if self._users is None:
            return True
        expected = self._users.get(username or "")
        return expected is not None and password == expected.encode()

    def allow(self, access: Access) -> bool:
        return self._may(access)

    def control(self, _topic: str, _payload: bytes) -> "Controlled | None":
        """What a message to the broker itself brings about; None: it is none."""
        return None


class Live(Protocol):
    """A connected client, as the hub needs it."""

    @property
    def username(self) -> str | None: ...

    def deliver(self, now: float) -> None:
        """Send what its session owes it."""

    def obey_faults(self) -> None:
        """Faults have changed: send acknowledgements no longer withheld."""

    def end(self, reason: Reason, now: float, *, with_will: bool = True) -> None:
        """Say why and hang up."""

    def cut(self, now: float) -> None:
        """Hang up without a word."""


class Hub:
    """Connected clients by their client id, at most one each."""

    def __init__(self, switchboard: Switchboard, rules: Rules, limits: Limits, faults: Faults) -> None:
        self.switchboard = switchboard
        self.rules = rules
        self.limits = limits
        self.faults = faults
        self.live: dict[str, Live] = {}
        self._named = 0

    def new_client_id(self) -> str:
        """An id for a client that brought none."""
        while True:
            self._named += 1
            name = f"nameless-{self._named}"
            if name not in self.switchboard.memory.sessions:
                return name

    def settle(self, now: float) -> None:
        """Deliver what the last events have made deliverable."""
        for session in self.switchboard.take_ready():
            if (client := self.live.get(session.client_id)) is not None:
                client.deliver(now)

    def obey_faults(self, now: float) -> None:
        """Faults have changed."""
        for client_id in self.faults.take_dropped():
            if (client := self.live.get(client_id)) is not None:
                client.cut(now)
        for client in list(self.live.values()):
            client.obey_faults()
            client.deliver(now)

    def throw_out(self, usernames: frozenset[str], now: float) -> None:
        """Disconnect the clients with these names; no will is published, as with Mosquitto's plugin."""
        for client in list(self.live.values()):
            if client.username in usernames:
                client.end(Reason.ADMINISTRATIVE_ACTION, now, with_will=False)

    def end_all(self, reason: Reason, now: float) -> None:
        """The broker stops: nobody's will is published."""
        for client in list(self.live.values()):
            client.end(reason, now, with_will=False)
