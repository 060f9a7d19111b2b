"""The doctor's look at the network: the name, the broker's word, and whether the cloud answers, with its clock.

A running agent is asked: beside it, under its own name, one would push it out, and under another the broker may let
nobody in. Else the doctor does what the agent will do: its CONNECT with its retained will, a message of a state's size.
"""

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from agent import AGENT_VERSION
from agent.clock import Bell
from agent.cloud.link import NOT_SET_UP
from agent.cloud.mqtt import CONNECT_TIMEOUT_S, Connection, Refused
from agent.doctor import certificate
from agent.doctor.findings import BAD, GOOD, WARN, Finding
from agent.settings import BrokerAddress, Settings
from protocol.errors import WireError
from protocol.messages import Hello, Presence, Welcome, decode_receipt, encode
from protocol.topics import Channel, topic

ANSWER_S = 5.0
STATE_BYTES = 20 * 1024
"""A state with every drink of a large machine."""
_NO_ANSWER = "it does not answer; is the device in the fleet file, do the cloud's workers run? orders wait for it"
BROKERS_WORD = "the broker refused"
"""How `Connection.why_lost` begins when it said why."""
OFF_BY_S = 30.0
"""A clock so far from the cloud's is wrong; less is the network, or a slow computer."""


def examine(chosen: Settings, profile: str, said_by_agent: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """At each address; the agent tries one after the other, so one that takes us is enough."""
    if said_by_agent is not None and said_by_agent.get("broker") == "connected":
        yield from _of_running(said_by_agent, chosen.broker)
        return
    each = (replace(chosen, broker=one) for one in (chosen.broker, *chosen.other_brokers))
    looks = [list(_look(one, profile, said_by_agent)) for one in each]
    is_taken = any(finding.subject == "broker" and finding.mark == GOOD for look in looks for finding in look)
    for finding in dict.fromkeys(finding for look in looks for finding in look):
        yield replace(finding, mark=WARN) if finding.is_bad and is_taken else finding


def _look(chosen: Settings, profile: str, said_by_agent: Mapping[str, Any] | None) -> Iterator[Finding]:
    """From the name to the cloud behind it; ends at the first thing that is broken."""
    where = f"{chosen.broker.host}:{chosen.broker.port}"
    try:
        socket.create_connection((chosen.broker.host, chosen.broker.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        yield Finding(BAD, "broker", f"{where}: {unreachable(error)}")
        return
    wrong = list(certificate.examine(chosen.broker))
    yield from wrong
    if wrong:
        return
    if said_by_agent is not None:
        yield from _of_running(said_by_agent, chosen.broker)
        return
    visit = _Visit(chosen, profile)
    try:
        for finding in visit.findings(where):
            is_one_of_several = finding.subject == "broker" and bool(chosen.other_brokers)
            yield replace(finding, words=_at(where, finding.words)) if is_one_of_several else finding
    finally:
        visit.close()


def _at(where: str, words: str) -> str:
    return words if where in words else f"{where}: {words}"


def _of_running(said: Mapping[str, Any], broker: BrokerAddress) -> Iterator[Finding]:
    """What the agent that runs says of its own connection."""
    if said.get("broker") != "connected":
        why = str(said.get("broker_trouble", ""))
        yield (
            refusal(why, broker)
            if why
            else Finding(BAD, "broker", "the running agent is not connected, and has not said why yet")
        )
        return
    yield Finding(GOOD, "broker", "the running agent is connected")
    if said.get("cloud") == "answers":
        yield Finding(GOOD, "cloud", "answers the running agent")
    else:
        yield Finding(WARN, "cloud", _NO_ANSWER)


def unreachable(error: OSError) -> str:
    """Why nobody answers at the address, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror}); is the network up (ip addr), is the name right?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; is the port right, is the broker running?"
    if isinstance(error, TimeoutError):
        return "no answer; does a firewall stand between, is the address right?"
    return f"{error}; is the network up (ip addr, ip route)?"


def unusable(why: str) -> Finding:
    """A file of ours that nobody can dial with."""
    files = "COFFEE_AGENT_MQTT_CA, _CERT and _KEY"
    return Finding(BAD, "broker", f"{why}; can this user read the certificates it is to use ({files})?")


def refusal(why: str, broker: BrokerAddress) -> Finding:
    """What a broker means that hangs up on us, or why the agent did not even dial it."""
    if why.startswith(NOT_SET_UP):
        return unusable(why)
    lower = why.lower()
    if "authori" in lower or "password" in lower or "credentials" in lower:
        words = "it does not accept the name or the password"
        advice = "enrol this device again (coffee-cloud enroll)" if broker.password else "no password is set"
        return Finding(BAD, "broker", f"{words}; {advice}")
    if "retain not supported" in lower:
        words = "keeps no retained messages, and the agent's last will is one: it will never be taken"
        return Finding(BAD, "broker", f"it {words}; switch them on (mosquitto: retain_available true)")
    if "packet too large" in lower:
        return Finding(BAD, "broker", f"its limit is less than our connect; {_RAISE_LIMIT}")
    if "certificate_required" in lower or "certificate required" in lower:
        return Finding(BAD, "broker", f"it wants a certificate of ours ({why}); COFFEE_AGENT_MQTT_CERT and _KEY")
    if "certificate" in lower:
        advice = "is the clock right, is COFFEE_AGENT_MQTT_CA the certificate that signed the broker's?"
        return Finding(BAD, "broker", f"{why}; {advice}")
    is_brokers_word = why.startswith(BROKERS_WORD)
    if "ssl" in lower or "tls" in lower or (broker.tls and why and not is_brokers_word):
        wants = "" if broker.cert_file else " Does it want a certificate of ours, COFFEE_AGENT_MQTT_CERT?"
        return Finding(BAD, "broker", f"{why}; does this port speak TLS? mqtt:// is without, mqtts:// with.{wants}")
    if not why:
        return Finding(
            BAD, "broker", "it took the call and said nothing; is this the broker's port, and TLS as it is set?"
        )
    return Finding(WARN, "broker", f"{why}; it may refuse this trial name and still take the agent")


def _has_spoken(connection: Connection) -> bool:
    """It said no in words; a broker that only hangs up may be too old for MQTT 5."""
    return connection.why_lost.startswith(BROKERS_WORD)


_RAISE_LIMIT = f"let it take {STATE_BYTES} bytes and more (mosquitto: message_size_limit, max_packet_size)"


def too_small(why: str) -> Finding:
    """What a broker means that takes the connect and not a message of a state's size."""
    words = f"a message of {STATE_BYTES} bytes, the size of a large machine's state, does not get through ({why})"
    return Finding(BAD, "broker", f"{words}: the agent would be cut off for ever; {_RAISE_LIMIT}")


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
    """One short connection, or two where the broker has no MQTT 5: greets the cloud and listens for its welcome."""

    chosen: Settings
    profile: str
    bell: Bell = field(default_factory=Bell)
    name: str = field(default_factory=lambda: f"doctor-{secrets.token_hex(6)}")
    welcomes: dict[str, Welcome] = field(default_factory=dict)
    """By the hello that was answered."""
    connection: Connection | None = None

    def findings(self, where: str) -> Iterator[Finding]:
        try:
            connection = self._connect(mqtt5=True)
            if connection.lacks_mqtt5 or not (connection.is_ready or _has_spoken(connection)):
                connection.close()
                connection = self._connect(mqtt5=False)
                if connection.is_ready:
                    yield Finding(
                        WARN, "broker", "it has no MQTT 5: how long an order may wait is judged by clocks alone"
                    )
        except Refused as refused:
            yield refusal(str(refused), self.chosen.broker)
            return
        except OSError as error:
            yield unusable(str(error))
            return
        if not connection.is_ready:
            yield refusal(connection.why_lost, self.chosen.broker)
            return
        yield from self._exchange(connection, where)

    def _connect(self, *, mqtt5: bool) -> Connection:
        """Raises `Refused`, and `OSError` for a file that cannot be used."""
        self.connection = connection = self._dial(self.chosen.device_uuid, mqtt5=mqtt5)
        connection.open()
        self._wait(lambda: connection.is_ready or connection.is_lost, CONNECT_TIMEOUT_S)
        return connection

    def _exchange(self, connection: Connection, where: str) -> Iterator[Finding]:
        """A small message that the cloud may answer, then one of a state's size, which must go the same way."""
        welcome = self._greet(connection, f"{self.name}-1")
        answered = self._greet(connection, f"{self.name}-2", STATE_BYTES, is_answer_due=welcome is not None)
        if connection.is_lost or connection.why_refused or connection.waits:
            yield too_small(connection.why_refused or connection.why_lost or "it was never confirmed")
            return
        if welcome is not None and answered is None:
            yield too_small("confirmed, and the cloud never got it")
            return
        yield Finding(GOOD, "broker", f"{where} takes us, our last will and {STATE_BYTES} bytes at once")
        if answered is not None:
            yield clock(datetime.now(UTC), answered.cloud_time)
            return
        yield Finding(WARN, "cloud", _NO_ANSWER)

    def _greet(
        self, connection: Connection, hello_id: str, size: int = 0, *, is_answer_due: bool = True
    ) -> Welcome | None:
        """Say hello in a message of at least `size` bytes; blanks behind JSON mean nothing."""
        hello = Hello(hello_id=hello_id, agent_version=AGENT_VERSION, profile=self.profile)
        connection.publish(topic(self.chosen.device_uuid, Channel.REPORT), encode(hello).ljust(size))
        self._wait(
            lambda: (
                connection.is_lost
                or bool(connection.why_refused)
                or (hello_id in self.welcomes if is_answer_due else not connection.waits)
            ),
            ANSWER_S,
        )
        return self.welcomes.get(hello_id)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def _dial(self, device: str, *, mqtt5: bool) -> Connection:
        will = Presence(online=False, session_id=self.name, agent_version=AGENT_VERSION)
        return Connection(
            self.chosen.broker,
            device,
            mqtt5=mqtt5,
            subscriptions=[topic(device, Channel.RECEIPT)],
            will=(topic(device, Channel.PRESENCE), encode(will)),
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
        if isinstance(message, Welcome) and message.hello_id.startswith(self.name) and not retained:
            self.welcomes[message.hello_id] = message
            self.bell.ring()
        return True
