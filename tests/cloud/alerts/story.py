"""Tells troubles over time to the pure rules, and keeps what one channel would have been sent."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cloud.alerts.crowd import crowd, members_of
from cloud.alerts.incident import Condition, Incident, advance, begun, is_over
from cloud.alerts.kinds import Kind, Severity
from cloud.alerts.telling import Listener, SentMessage, Word, tell

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
MESSENGER = Listener("north", Severity.NOTICE, edits=True, is_second=False, quiet=None, pierces=False)
LETTERS = replace(MESSENGER, edits=False)


@dataclass
class Sent:
    """One message, and the words it has had."""

    of: Kind
    at: datetime
    words: list[Word]
    facts: list[object] = field(default_factory=list)


@dataclass
class Story:
    """A merchant's troubles, told to one channel."""

    listener: Listener = MESSENGER
    now: datetime = NOON
    incidents: dict[str, Incident] = field(default_factory=dict)
    told: dict[str, SentMessage] = field(default_factory=dict)
    messages: dict[str, Sent] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    def look(self, conditions: Sequence[Condition], machines: int = 0) -> None:
        """One look of the watch, and what is due then."""
        wrong = {each.fingerprint: each for each in conditions}
        if machines:
            wrong |= self._crowd(conditions, machines)
        for name in {*self.incidents, *wrong}:
            known = self.incidents.get(name)
            if known is None or is_over(known, self.now):
                if name not in wrong:
                    continue
                known = begun(wrong[name], f"{name}@{self.now}", self.now)
            self.incidents[name] = advance(known, wrong.get(name), self.now)
        self._group()
        for incident in self.incidents.values():
            self._tell(incident)

    def pass_time(self, for_s: float, conditions: Callable[[datetime], Sequence[Condition]], machines: int = 0) -> None:
        """Look every ten seconds."""
        until = self.now + timedelta(seconds=for_s)
        while self.now < until:
            self.now += timedelta(seconds=10)
            self.look(conditions(self.now), machines)

    def _crowd(self, conditions: Sequence[Condition], machines: int) -> dict[str, Condition]:
        one = crowd("north", conditions, machines, self._members(), self._spoken_of())
        return {one.fingerprint: one} if one else {}

    def _members(self) -> Collection[str]:
        return members_of(self.incidents.get(f"north/{Kind.MANY_OFFLINE.value}/"))

    def _spoken_of(self) -> Collection[str]:
        return {each.subject for each in self.incidents.values() if each.is_live and not each.group_id}

    def _group(self) -> None:
        held = self.incidents.get(f"north/{Kind.MANY_OFFLINE.value}/")
        for name, incident in self.incidents.items():
            if held is not None and incident.subject in held.facts["machines"] and not self.told.get(incident.id):
                self.incidents[name] = replace(incident, group_id=held.id)

    def _tell(self, incident: Incident) -> None:
        told = self.told.get(incident.id)
        telling = tell(incident, self.listener, told, self.now)
        if telling is None or telling.at > self.now:
            return
        if telling.is_change:
            self.messages[incident.id].words.append(telling.word)
        else:
            self.messages[incident.id] = Sent(incident.kind, self.now, [telling.word])
            self.sent.append(self.messages[incident.id])
        self.messages[incident.id].facts.append(incident.facts)
        sent_at = told.at if told is not None and telling.is_change else self.now
        self.told[incident.id] = SentMessage(telling.word, incident.revision, sent_at, self.now, incident.unstable)


def offline(machine: str, since: datetime) -> Condition:
    """A machine that is away."""
    return Condition(Kind.OFFLINE, "north", machine, since)
