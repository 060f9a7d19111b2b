"""Each message to its clients: sessions, retained messages, wills, and when each ends. Pure; `now` comes in."""

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace

from simulator.broker import properties as props
from simulator.broker import topics
from simulator.broker.limits import Limits
from simulator.broker.packets import Connect, Publish, Wish
from simulator.broker.reasons import Reason
from simulator.broker.session import NEVER, Delivery, Message, Session, Subscription

_EXPIRY_NEVER = 0xFFFF_FFFF
"""The session expiry interval that means for ever (MQTT 5 section 3.1.2.11.2)."""


@dataclass(slots=True)
class Memory:
    """What a broker remembers, and a broker started again may be given."""

    sessions: dict[str, Session] = field(default_factory=dict)
    retained: dict[str, Message] = field(default_factory=dict)


class Switchboard:
    """Routes messages between sessions; those with something new to send are found in `take_ready()`."""

    def __init__(self, memory: Memory, limits: Limits) -> None:
        self.memory = memory
        self._limits = limits
        self._ready: set[Session] = set()
        self._turn = 0

    def open(self, connect: Connect, client_id: str, now: float) -> tuple[Session, bool] | None:
        """The client's session and whether it existed already; None when there are too many."""
        sessions = self.memory.sessions
        session = sessions.get(client_id)
        if session is not None and (connect.clean_start or session.ends_at <= now):
            self._end(session, now)
            session = None
        is_present = session is not None
        if session is None:
            if len(sessions) >= self._limits.sessions:
                return None
            session = sessions[client_id] = Session(client_id, self._limits.queued_messages)
        window = connect.properties.receive_maximum or self._limits.unacknowledged
        session.connected(min(window, self._limits.unacknowledged))
        session.will = connect.will
        session.lifetime = _lifetime(connect)
        self._ready.add(session)
        return session, is_present

    def close(self, session: Session, now: float, *, with_will: bool) -> None:
        """The connection is over. The will, if wanted, waits for its delay, or for the end of the session."""
        session.disconnected()
        session.ends_at = now + session.lifetime
        if with_will and session.will is not None:
            session.will_at = now + (session.will.properties.will_delay or 0)
        else:
            session.will = None
        self.step(now)

    def step(self, now: float) -> float:
        """Publish the wills and end the sessions whose time has come; returns when to look again."""
        for session in list(self.memory.sessions.values()):
            if session.will_at <= now:
                self._publish_will(session, now)
            if session.ends_at <= now:
                self._end(session, now)
        times = ((session.will_at, session.ends_at) for session in self.memory.sessions.values())
        return min((min(both) for both in times), default=NEVER)

    def publish(self, message: Message, now: float) -> bool:
        """Offer the message to every session that wants it; False when there is none."""
        if message.retain:
            self._retain(message, now)
        wanted = False
        sharing: defaultdict[tuple[str, str], list[tuple[Session, Subscription]]] = defaultdict(list)
        for session in self.memory.sessions.values():
            hits = [sub for sub in session.subscriptions.values() if sub.wants(message, session.client_id)]
            own = [sub for sub in hits if sub.group is None]
            if own:
                self._offer(session, message, own)
            for sub in hits:
                if sub.group is not None:
                    sharing[sub.group, sub.filter].append((session, sub))
            wanted = wanted or bool(hits)
        for members in sharing.values():
            session, sub = self._whose_turn(members)
            self._offer(session, message, [sub])
        return wanted

    def subscribe(self, session: Session, wish: Wish, identifier: int | None) -> int:
        """The QoS granted, or the reason for refusing."""
        group, wanted = topics.split_share(wish.filter)
        if not topics.is_filter(wanted) or (group is not None and wish.no_local):
            return Reason.FILTER_INVALID
        is_new = wish.filter not in session.subscriptions
        if is_new and len(session.subscriptions) >= self._limits.subscriptions:
            return Reason.QUOTA_EXCEEDED
        session.subscriptions[wish.filter] = Subscription(wish, wanted, group, identifier)
        return wish.qos

    def offer_retained(self, session: Session, wish: Wish, now: float, *, is_new: bool) -> None:
        """What is retained for a wish just granted; `is_new`: there was no subscription to this filter before."""
        sub = session.subscriptions[wish.filter]
        if sub.group is not None or wish.retain_handling not in ((0, 1) if is_new else (0,)):
            return
        for message in self.memory.retained.values():
            if message.expires_at > now and sub.wants(message, session.client_id):
                self._offer(session, message, [sub], is_retained=True)

    def take_ready(self) -> set[Session]:
        """The sessions that were offered something since the last call."""
        ready, self._ready = self._ready, set()
        return ready

    def _offer(
        self, session: Session, message: Message, subs: list[Subscription], *, is_retained: bool = False
    ) -> None:
        """One copy, however many of the client's filters match: the highest QoS, all their identifiers."""
        qos = min(message.qos, max(sub.wish.qos for sub in subs))
        retain = is_retained or (message.retain and any(sub.wish.retain_as_published for sub in subs))
        identifiers = tuple(sub.identifier for sub in subs if sub.identifier is not None)
        session.offer(Delivery(message, qos, retain, identifiers))
        self._ready.add(session)

    def _whose_turn(self, members: list[tuple[Session, Subscription]]) -> tuple[Session, Subscription]:
        """Of the connected members of a shared subscription, the one served longest ago."""
        able = [member for member in members if member[0].is_connected] or members
        chosen = min(able, key=lambda member: member[0].last_turn)
        self._turn += 1
        chosen[0].last_turn = self._turn
        return chosen

    def _retain(self, message: Message, now: float) -> None:
        retained = self.memory.retained
        retained.pop(message.topic, None)
        if not message.payload:
            return
        if len(retained) >= self._limits.retained_messages:
            for topic in [topic for topic, old in retained.items() if old.expires_at <= now]:
                del retained[topic]
        if len(retained) < self._limits.retained_messages:
            retained[message.topic] = message

    def _publish_will(self, session: Session, now: float) -> None:
        will, session.will, session.will_at = session.will, None, NEVER
        if will is not None:
            self.publish(message_of(will, session.client_id, now), now)

    def _end(self, session: Session, now: float) -> None:
        if session.will_at != NEVER:
            self._publish_will(session, now)
        self.memory.sessions.pop(session.client_id, None)


def message_of(packet: Publish, origin: str, now: float) -> Message:
    """What was published, freed from the connection it came by; its expiry is counted from now."""
    properties, expiry = packet.properties, packet.properties.message_expiry
    if properties is not props.NONE:
        properties = replace(properties, message_expiry=None, topic_alias=None, will_delay=None)
    if properties == props.NONE:
        properties = props.NONE
    expires_at = NEVER if expiry is None else now + expiry
    return Message(packet.topic, packet.payload, packet.qos, packet.retain, properties, origin, expires_at)


def lifetime_s(session_expiry: int) -> float:
    """How long a session outlives its connection, from the property that says so."""
    return math.inf if session_expiry == _EXPIRY_NEVER else float(session_expiry)


def _lifetime(connect: Connect) -> float:
    if connect.version == 4:
        return 0.0 if connect.clean_start else math.inf
    return lifetime_s(connect.properties.session_expiry or 0)
