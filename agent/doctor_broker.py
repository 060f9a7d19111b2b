"""The doctor's look at the network: the name, the broker's word, and whether the cloud answers, with its clock.

Connects under a name of its own: under the device's it would push a running agent out.
"""

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent import AGENT_VERSION
from agent.clock import Bell
from agent.findings import BAD, GOOD, WARN, Finding
from agent.mqtt import CONNECT_TIMEOUT_S, Connection, Refused
from agent.settings import BrokerAddress, Settings
from protocol.errors import WireError
from protocol.messages import Hello, Welcome, decode_receipt, encode
from protocol.topics import Channel, topic

ANSWER_S = 5.0
OFF_BY_S = 30.0
"""A clock so far from the cloud's is wrong; less is the network, or a slow computer."""


def examine(chosen: Settings, profile: str) -> Iterator[Finding]:
    """From the name to the cloud behind it; ends at the first thing that is broken."""
    where = f"{chosen.broker.host}:{chosen.broker.port}"
    try:
        socket.create_connection((chosen.broker.host, chosen.broker.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        yield Finding(BAD, "broker", f"{where}: {unreachable(error)}")
        return
    visit = _Visit(chosen, profile)
    try:
        yield from visit.findings(where)
    finally:
        visit.close()


def unreachable(error: OSError) -> str:
    """Why nobody answers at the address, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror}); is the network up (ip addr), is the name right?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; is the port right, is the broker running?"
    if isinstance(error, TimeoutError):
        return "no answer; does a firewall stand between, is the address right?"
    return f"{error}; is the network up (ip addr, ip route)?"


def refusal(why: str, broker: BrokerAddress) -> Finding:
    """What a broker means that hangs up on us."""
    lower = why.lower()
    if "authori" in lower or "password" in lower or "credentials" in lower:
        words = "it does not accept the name or the password"
        advice = "enrol this device again (coffee-cloud enroll)" if broker.password else "no password is set"
        return Finding(BAD, "broker", f"{words}; {advice}")
    if "certificate" in lower:
        advice = "is the clock right, is COFFEE_AGENT_MQTT_CA the certificate that signed the broker's?"
        return Finding(BAD, "broker", f"{why}; {advice}")
    is_brokers_word = lower.startswith("the broker refused")
    if "ssl" in lower or "tls" in lower or (broker.tls and why and not is_brokers_word):
        return Finding(BAD, "broker", f"{why}; does this port speak TLS? mqtt:// is without, mqtts:// with")
    if not why:
        return Finding(
            BAD, "broker", "it took the call and said nothing; is this the broker's port, and TLS as it is set?"
        )
    return Finding(WARN, "broker", f"{why}; it may refuse this trial name and still take the agent")


def clock(ours: datetime, clouds: datetime) -> Finding:
    """Our wall clock beside the cloud's."""
    off = (ours - clouds).total_seconds()
    if abs(off) <= OFF_BY_S:
        return Finding(GOOD, "cloud", f"answers; our clock is {off:+.1f} s from its own")
    way = "ahead of" if off > 0 else "behind"
    advice = "set it (timedatectl set-ntp true); the agent goes by the cloud's clock meanwhile"
    return Finding(WARN, "clock", f"{abs(off):.0f} s {way} the cloud's; {advice}")


@dataclass
class _Visit:
    """One short connection: greets the cloud as the device would, and listens for its welcome."""

    chosen: Settings
    profile: str
    bell: Bell = field(default_factory=Bell)
    hello_id: str = field(default_factory=lambda: f"doctor-{secrets.token_hex(6)}")
    welcome: Welcome | None = None
    connection: Connection | None = None

    def findings(self, where: str) -> Iterator[Finding]:
        device = self.chosen.device_uuid
        try:
            self.connection = self._dial(device)
            self.connection.open()
        except Refused as refused:
            yield refusal(str(refused), self.chosen.broker)
            return
        except OSError as error:
            yield Finding(BAD, "broker", f"{error}; can this user read the certificates it is to use?")
            return
        connection = self.connection
        self._wait(lambda: connection.is_ready or connection.is_lost, CONNECT_TIMEOUT_S)
        if not connection.is_ready:
            yield refusal(connection.why_lost, self.chosen.broker)
            return
        yield Finding(GOOD, "broker", f"{where} takes us")
        hello = Hello(hello_id=self.hello_id, agent_version=AGENT_VERSION, profile=self.profile)
        connection.publish(topic(device, Channel.REPORT), encode(hello))
        self._wait(lambda: self.welcome is not None, ANSWER_S)
        if self.welcome is not None:
            yield clock(datetime.now(UTC), self.welcome.cloud_time)
            return
        words = "it does not answer; is the device in the fleet file, do the cloud's workers run? orders wait for it"
        yield Finding(WARN, "cloud", words)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def _dial(self, device: str) -> Connection:
        return Connection(
            self.chosen.broker,
            f"{device}-doctor",
            mqtt5=True,
            subscriptions=[topic(device, Channel.RECEIPT)],
            will=None,
            on_message=self._take,
            on_change=self.bell.ring,
            is_passing=True,
        )

    def _wait(self, is_so: Callable[[], bool], timeout: float) -> None:
        until = time.monotonic() + timeout
        while not is_so() and (left := until - time.monotonic()) > 0:
            self.bell.wait(left)

    def _take(self, _: str, payload: bytes, retained: bool, *__: object) -> bool:
        try:
            message = decode_receipt(payload)
        except WireError:
            return True
        if isinstance(message, Welcome) and message.hello_id == self.hello_id and not retained:
            self.welcome = message
            self.bell.ring()
        return True
