"""One client from its CONNECT to its end: what each packet means and what is answered. No socket, no clock."""

import logging
from dataclasses import replace
from typing import Literal, Protocol

from simulator.broker import packets, topics, wire
from simulator.broker import properties as props
from simulator.broker.faults import WITHHELD
from simulator.broker.hub import Access, Hub
from simulator.broker.limits import Sharing
from simulator.broker.packets import (
    Ack,
    Connect,
    Disconnect,
    Packet,
    Ping,
    Publish,
    Subscribe,
    Type,
    Unsubscribe,
    Wish,
)
from simulator.broker.properties import Properties
from simulator.broker.reasons import FAILED, Reason, Violation
from simulator.broker.session import Session
from simulator.broker.switchboard import lifetime_s, message_of

log = logging.getLogger(__name__)


class Line(Protocol):
    """The way back to the client."""

    @property
    def is_congested(self) -> bool:
        """The client does not read what it was sent."""

    def write(self, data: bytes) -> None:
        """Send; nothing happens once the line is closed."""

    def write_later(self, delay_s: float, data: bytes) -> None:
        """Send after `delay_s`, if the line is still open then."""

    def allow_silence(self, seconds: float) -> None:
        """Call `silent` when the client says nothing for so long; 0 is for ever."""

    def hang_up(self) -> None:
        """Close after what was written."""

    def abort(self) -> None:
        """Close at once."""


class Conversation:
    """Fed with packets by its line; ends by `end`, `cut`, or when the line tells it is `lost`."""

    def __init__(self, hub: Hub, line: Line) -> None:
        self._hub = hub
        self._line = line
        self._session: Session | None = None
        self._username: str | None = None
        self._aliases: dict[int, str] = {}
        self._largest_packet = wire.LARGEST_VARINT
        self._withheld: dict[int, bytes] = {}
        self.version = 4
        line.allow_silence(hub.limits.silence_before_connect_s)

    @property
    def username(self) -> str | None:
        return self._username

    @property
    def client_id(self) -> str | None:
        """Known from the accepted CONNECT on, until the end."""
        return self._session.client_id if self._session else None

    def receive(self, first: int, body: bytes, now: float) -> None:
        """One packet from the client; a `Violation` in it is for the caller to `refuse`."""
        packet = packets.parse(first, body, self.version)
        if self._session is None:
            if not isinstance(packet, Connect):
                raise Violation(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
            self._connect(packet, now)
        else:
            self._handle(self._session, packet, now)

    def deliver(self, now: float) -> None:
        session = self._session
        if session is None or not self._hub.faults.delivers_to(session.client_id):
            return
        while not self._line.is_congested:
            packet = session.next_packet(now)
            if packet is None:
                return
            if isinstance(packet, Ack):
                self._line.write(packets.ack(self.version, packet))
            elif len(data := packets.publish(self.version, packet)) <= self._largest_packet:
                self._line.write(data)
            else:
                session.acknowledged(packet.packet_id)  # MQTT-3.1.2-25: as if it had been delivered

    def obey_faults(self) -> None:
        if self._session and self._hub.faults.puback_delay_s(self._session.client_id) != WITHHELD:
            for data in self._withheld.values():
                self._line.write(data)
            self._withheld.clear()

    def refuse(self, violation: Violation, now: float) -> None:
        """The client broke the protocol: it is told, where the protocol has words for it, and let go."""
        log.info("client %s: %s", self.client_id, violation)
        if self._session is None and violation.reason is Reason.UNSUPPORTED_VERSION:
            self._line.write(packets.connack(4, violation.reason, session_present=False, properties=props.NONE))
        self.end(violation.reason, now)

    def silent(self, now: float) -> None:
        """Nothing was heard for longer than promised."""
        self.end(Reason.KEEP_ALIVE_TIMEOUT, now)

    def end(self, reason: Reason, now: float, *, with_will: bool = True) -> None:
        if self._session is not None:
            self._line.write(packets.disconnect(self.version, reason))
        self._line.hang_up()
        self.lost(now, with_will=with_will)

    def cut(self, now: float) -> None:
        self._line.abort()
        self.lost(now)

    def lost(self, now: float, *, with_will: bool = True) -> None:
        """The connection is over, however it ended; safe to call again."""
        session, self._session = self._session, None
        if session is not None:
            del self._hub.live[session.client_id]
            self._hub.switchboard.close(session, now, with_will=with_will)

    def _connect(self, connect: Connect, now: float) -> None:
        if connect.version == 5 and not self._hub.limits.mqtt5:
            raise Violation(Reason.UNSUPPORTED_VERSION, "MQTT 5 is not spoken here")
        self.version = connect.version
        refusal = self._objection(connect)
        if refusal is not None:
            self._reject(refusal)
            return
        client_id = connect.client_id or self._hub.new_client_id()
        if (other := self._hub.live.get(client_id)) is not None:
            other.end(Reason.TAKEN_OVER, now)
        opened = self._hub.switchboard.open(connect, client_id, now)
        if opened is None:
            self._reject(Reason.QUOTA_EXCEEDED)
            return
        self._session, is_present = opened
        self._username = connect.username
        self._largest_packet = connect.properties.maximum_packet_size or self._largest_packet
        self._hub.live[client_id] = self
        self._line.allow_silence(connect.keep_alive * 1.5)
        properties = Properties(
            assigned_client_id=None if connect.client_id else client_id,
            topic_alias_maximum=self._hub.limits.topic_aliases,
            maximum_packet_size=self._hub.limits.packet_bytes,
            receive_maximum=self._hub.limits.receive_maximum,
            shared_available=0 if self._hub.limits.sharing is Sharing.UNKNOWN else None,
        )
        welcome = packets.connack(self.version, Reason.SUCCESS, session_present=is_present, properties=properties)
        self._line.write(welcome)

    def _objection(self, connect: Connect) -> Reason | None:
        if connect.properties.authentication_method is not None:
            return Reason.BAD_AUTHENTICATION_METHOD
        if not self._hub.rules.admits(connect.username, connect.password, connect.client_id):
            return Reason.BAD_USER_OR_PASSWORD
        if not connect.client_id and connect.version == 4 and not connect.clean_start:
            return Reason.CLIENT_ID_NOT_VALID
        return None

    def _reject(self, reason: Reason) -> None:
        log.info("connection refused: %s", reason.name)
        self._line.write(packets.connack(self.version, reason, session_present=False, properties=props.NONE))
        self._line.hang_up()

    def _handle(self, session: Session, packet: Packet, now: float) -> None:
        match packet:
            case Publish():
                self._publish(session, packet, now)
            case Ack():
                self._ack(session, packet, now)
            case Subscribe():
                self._subscribe(session, packet, now)
            case Unsubscribe():
                known = [session.subscriptions.pop(one, None) is not None for one in packet.filters]
                codes = [Reason.SUCCESS if was else Reason.NO_SUBSCRIPTION_EXISTED for was in known]
                self._line.write(packets.unsuback(self.version, packet.packet_id, list(codes)))
            case Ping():
                self._line.write(packets.pingresp())
            case Disconnect():
                self._disconnect(session, packet, now)
            case Connect():
                raise Violation(Reason.PROTOCOL_ERROR, "a second CONNECT")

    def _publish(self, session: Session, packet: Publish, now: float) -> None:
        topic = self._resolve(packet)
        if packet.qos == 2 and not session.arrived(packet.packet_id):
            self._acknowledge(session, packet, Reason.SUCCESS)
            return
        if not self._may(session, "publish", topic):
            session.released(packet.packet_id)  # a refused message is over at once
            self._acknowledge(session, packet, Reason.NOT_AUTHORIZED)
            return
        if (done := self._hub.rules.control(topic, packet.payload)) is not None:
            self._acknowledge(session, packet, Reason.SUCCESS)
            answer = Publish(done.topic, done.payload, 1, False, False, 1, props.NONE)
            self._hub.switchboard.publish(message_of(answer, session.client_id, now), now)
            self._hub.throw_out(done.thrown_out, now)
            return
        message = message_of(replace(packet, topic=topic), session.client_id, now)
        wanted = self._hub.switchboard.publish(message, now)
        self._acknowledge(session, packet, Reason.SUCCESS if wanted else Reason.NO_MATCHING_SUBSCRIBERS)

    def _resolve(self, packet: Publish) -> str:
        alias = packet.properties.topic_alias
        if alias is None:
            return packet.topic
        if alias > self._hub.limits.topic_aliases:
            raise Violation(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias}")
        if packet.topic:
            self._aliases[alias] = packet.topic
        elif alias not in self._aliases:
            raise Violation(Reason.PROTOCOL_ERROR, f"topic alias {alias} was never given")
        return self._aliases[alias]

    def _acknowledge(self, session: Session, packet: Publish, reason: Reason) -> None:
        if packet.qos == 0:
            return
        kind = Type.PUBACK if packet.qos == 1 else Type.PUBREC
        data = packets.ack(self.version, Ack(kind, packet.packet_id, reason))
        delay_s = self._hub.faults.puback_delay_s(session.client_id)
        if delay_s == WITHHELD:
            self._withheld[packet.packet_id] = data
        elif delay_s:
            self._line.write_later(delay_s, data)
        else:
            self._line.write(data)

    def _ack(self, session: Session, packet: Ack, now: float) -> None:
        packet_id = packet.packet_id
        match packet.type:
            case Type.PUBACK | Type.PUBCOMP:
                session.acknowledged(packet_id)
            case Type.PUBREC if packet.reason >= FAILED:
                session.acknowledged(packet_id)
            case Type.PUBREC:
                known = session.received(packet_id)
                self._answer(Type.PUBREL, packet_id, known=known)
            case _:
                self._answer(Type.PUBCOMP, packet_id, known=session.released(packet_id))
        self.deliver(now)

    def _answer(self, kind: Type, packet_id: int, *, known: bool) -> None:
        reason = Reason.SUCCESS if known else Reason.PACKET_ID_NOT_FOUND
        self._line.write(packets.ack(self.version, Ack(kind, packet_id, reason)))

    def _subscribe(self, session: Session, packet: Subscribe, now: float) -> None:
        are_new = [wish.filter not in session.subscriptions for wish in packet.wishes]
        codes = [self._grant(session, wish, packet.identifier) for wish in packet.wishes]
        self._line.write(packets.suback(self.version, packet.packet_id, codes))
        for wish, is_new, code in zip(packet.wishes, are_new, codes, strict=True):
            if code < FAILED:
                self._hub.switchboard.offer_retained(session, wish, now, is_new=is_new)

    def _grant(self, session: Session, wish: Wish, identifier: int | None) -> int:
        group, wanted = topics.split_share(wish.filter)
        if group is not None and self._hub.limits.sharing is not Sharing.KNOWN:
            return Reason.NO_SHARED_SUBSCRIPTIONS
        if not self._may(session, "subscribe", wanted):
            return Reason.NOT_AUTHORIZED
        return self._hub.switchboard.subscribe(session, wish, identifier)

    def _disconnect(self, session: Session, packet: Disconnect, now: float) -> None:
        if packet.session_expiry is not None:
            if session.lifetime == 0 and packet.session_expiry:
                raise Violation(Reason.PROTOCOL_ERROR, "a session cannot be made lasting when leaving")
            session.lifetime = lifetime_s(packet.session_expiry)
        self.lost(now, with_will=packet.reason == Reason.DISCONNECT_WITH_WILL)
        self._line.hang_up()

    def _may(self, session: Session, action: Literal["publish", "subscribe"], topic: str) -> bool:
        access = Access(session.client_id, self._username, action, topic)
        return not self._hub.faults.refuses(topic) and self._hub.rules.allow(access)
