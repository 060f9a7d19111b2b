"""The loop that looks at everything, makes incidents of what it sees, and wants channels told. Sends nothing itself.

One worker looks at a time. What it saw, what it made of it and what is to be sent are one transaction.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cloud.alerts import machine_conditions, money_conditions, platform_conditions, turns
from cloud.alerts.certificates import CertificateCheck
from cloud.alerts.crowd import crowd, members_of
from cloud.alerts.forgetting import forget
from cloud.alerts.incident import Condition, Incident, State, advance, begun, fingerprint, is_over
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.models import AlertMessage, Channel, IncidentRow, Rule
from cloud.alerts.sendings import want
from cloud.alerts.store import (
    ended_unheard,
    is_muted,
    listener_of,
    messages_of,
    mutes,
    open_incidents,
    sent_message,
    write,
)
from cloud.alerts.telling import tell
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device

log = logging.getLogger("cloud.alerts")

EVERY = timedelta(seconds=10)
SWEPT_EVERY = timedelta(hours=1)
NAME = "incidents"

Look = Callable[[Session, datetime], list[Condition]]


@dataclass
class _Round:
    """Rules that are looked at together, and what they saw last. The costly and the less urgent come seldom."""

    every: timedelta
    looks: Sequence[Look]
    seen: dict[Look, Sequence[Condition]] = field(default_factory=dict)
    at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        return self.at is None or not self.at <= now < self.at + self.every

    def look(self, session: Session, now: datetime) -> None:
        """One that fails leaves the others alone, and what it saw last stands.

        Raises what the database raises; the round is then looked at anew.
        """
        for look in self.looks:
            try:
                self.seen[look] = look(session, now)
            except SQLAlchemyError:
                raise
            except Exception:  # one row that nobody foresaw must not keep all other troubles untold
                log.exception("looking for %s failed", look.__name__)
        self.at = now

    @property
    def is_blind(self) -> bool:
        """One of its looks has not seen anything yet."""
        return any(look not in self.seen for look in self.looks)


def _rounds(unreadable: money_conditions.Unreadable) -> list[_Round]:
    def money_at_risk(session: Session, now: datetime) -> list[Condition]:
        return money_conditions.money_at_risk(session, now, unreadable)

    def silent_providers(session: Session, now: datetime) -> list[Condition]:
        return money_conditions.silent_providers(session, now, unreadable)

    often = _Round(
        EVERY,
        (machine_conditions.absent_or_faulted, machine_conditions.drinks_not_made, silent_providers,
         platform_conditions.broken_workers, platform_conditions.broken_channels),
    )  # fmt: skip
    each_minute = _Round(
        timedelta(minutes=1),
        (money_at_risk, money_conditions.differences, machine_conditions.wrong_clocks,
         machine_conditions.closed_by_the_breaker, money_conditions.waiting_claims,
         platform_conditions.stopped_rollouts),
    )  # fmt: skip
    seldom = _Round(
        timedelta(minutes=5),
        (machine_conditions.failure_rates, machine_conditions.silent_machines, money_conditions.unregistered_receipts,
         money_conditions.ending_contracts),
    )  # fmt: skip
    return [often, each_minute, seldom]


class IncidentWatch:
    """Looks every few seconds."""

    def __init__(
        self, database: Database, unreadable: money_conditions.Unreadable, new_id: Callable[[], str],
        certificates: Callable[[datetime], CertificateCheck] = lambda _: CertificateCheck(),
    ) -> None:  # fmt: skip
        self._database = database
        self._new_id = new_id
        self._rounds = _rounds(unreadable)
        self._certificates = certificates
        self._last_swept: datetime | None = None
        self._outside = _Round(timedelta(hours=1), ())
        self._certificate_check = CertificateCheck()

    def step(self, now: datetime) -> datetime:
        """One look. Raises what the database raises."""
        with self._database.read() as session:
            for one in self._rounds:
                if one.is_due(now):
                    one.look(session, now)
        seen = [found for one in self._rounds for some in one.seen.values() for found in some]
        conditions = [*self._seen_outside(now), *seen]
        self._database.transact(self._judge, conditions, now)
        return now + EVERY

    def _seen_outside(self, now: datetime) -> Sequence[Condition]:
        """Ask without holding a database connection: the other side may take its time."""
        if self._outside.is_due(now):
            self._certificate_check, self._outside.at = self._certificates(now), now
        return self._certificate_check.soon

    def _judge(self, tx: Transaction, conditions: Sequence[Condition], now: datetime) -> None:
        if not turns.is_alone(tx) and not turns.take(tx, NAME, EVERY / 2, now):
            return
        session = tx.session
        known = _without_over(session, open_incidents(session, now), now)
        muted = mutes(session, now)
        seen = [*conditions, *_crowds(session, _worth_a_crowd(conditions, known, muted), known)]
        wrong = {each.fingerprint: each for each in _as_ruled(session, seen)}
        incidents = self._advanced(known, wrong, now)
        for incident in incidents:
            if incident != known.get(incident.fingerprint):
                _store(tx, incident, known.get(incident.fingerprint))
        _want_told(tx, [*incidents, *ended_unheard(session, now)], muted, now)
        if self._last_swept is None or not self._last_swept <= now < self._last_swept + SWEPT_EVERY:
            forget(session, now)
            self._last_swept = now

    def _advanced(self, known: Mapping[str, Incident], wrong: Mapping[str, Condition], now: datetime) -> list[Incident]:
        larger_ones = _lasting_of_the_platform(known.values())
        is_blind = any(one.is_blind for one in self._rounds)
        incidents = []
        for name in sorted({*known, *wrong}):
            incident = known.get(name) or begun(wrong[name], self._new_id(), now)
            is_inhibited = any(_explains(larger, incident) for larger in larger_ones)
            is_hidden = is_inhibited or (incident.present and (is_blind or name in self._certificate_check.unread))
            if is_hidden and name not in wrong:
                incidents.append(incident)  # it cannot be seen now whether it is over
                continue
            incidents.append(advance(incident, wrong.get(name), now, inhibited=is_inhibited))
        return _grouped(incidents)


def _without_over(session: Session, known: Mapping[str, Incident], now: datetime) -> dict[str, Incident]:
    """Return those that go on; remove those that passed untold, whose rows would refuse the next of their names."""
    untold = [each.id for each in known.values() if is_over(each, now) and each.opened_at is None]
    if untold:
        session.execute(delete(IncidentRow).where(IncidentRow.id.in_(untold)))
    return {name: each for name, each in known.items() if not is_over(each, now)}


def _as_ruled(session: Session, conditions: Sequence[Condition]) -> list[Condition]:
    """Without what the merchant has switched off, and waiting as long as its rules say."""
    if not conditions:
        return []
    rules = {(rule.merchant_id, rule.kind): rule for rule in session.scalars(select(Rule))}
    kept = []
    for each in conditions:
        rule = rules.get((each.merchant_id, each.kind.value))
        if rule is None:
            kept.append(each)
        elif rule.enabled:
            pending = None if rule.pending_s is None else timedelta(seconds=rule.pending_s)
            kept.append(replace(each, pending=pending))
    return kept


def _worth_a_crowd(
    seen: Iterable[Condition], known: Mapping[str, Incident], muted: Collection[tuple[str, str]]
) -> list[Condition]:
    """Without machines under maintenance; one that went with a crowd which is told already stays in it."""
    live = {name for name, each in known.items() if each.is_live}
    return [
        each for each in seen
        if (each.merchant_id, each.subject) not in muted
        or (_crowd_of(each.merchant_id) in live and each.subject in _members(known, each.merchant_id))
    ]  # fmt: skip


def _crowds(session: Session, seen: Iterable[Condition], known: Mapping[str, Incident]) -> list[Condition]:
    """Made of all that is seen: what is told of single machines is another rule."""
    offline: dict[str, list[Condition]] = {}
    for each in seen:
        if each.kind is Kind.OFFLINE:
            offline.setdefault(each.merchant_id, []).append(each)
    if not offline:
        return []
    counted = select(Device.merchant_id, func.count()).where(Device.status == "active").group_by(Device.merchant_id)
    machines: dict[str, int] = {row[0]: row[1] for row in session.execute(counted)}
    found = [
        crowd(merchant, away, machines.get(merchant, 0), _members(known, merchant), _spoken_of(known))
        for merchant, away in offline.items()
    ]
    return [each for each in found if each is not None]


def _crowd_of(merchant: str) -> str:
    return fingerprint(merchant, Kind.MANY_OFFLINE, "")


def _members(known: Mapping[str, Incident], merchant: str) -> Collection[str]:
    return members_of(known.get(_crowd_of(merchant)))


def _spoken_of(known: Mapping[str, Incident]) -> Collection[str]:
    return {each.subject for each in known.values() if each.kind is Kind.OFFLINE and each.is_live and not each.group_id}


def _grouped(incidents: Sequence[Incident]) -> list[Incident]:
    """Machines of a crowd are told of by the crowd's incident, unless they were told of before.

    One that came back and went again by itself belongs to it no more.
    """
    crowds = {each.merchant_id: each for each in incidents if each.kind is Kind.MANY_OFFLINE and each.present}
    return [
        replace(each, group_id=_group_of(each, crowds.get(each.merchant_id))) if each.kind is Kind.OFFLINE else each
        for each in incidents
    ]


def _group_of(incident: Incident, crowd_now: Incident | None) -> str:
    if not incident.present:
        return incident.group_id
    return crowd_now.id if crowd_now is not None and incident.subject in crowd_now.facts["machines"] else ""


def _lasting_of_the_platform(incidents: Iterable[Incident]) -> list[Incident]:
    ours = [each for each in incidents if each.merchant_id == PLATFORM]
    return [each for each in ours if each.is_live or (each.state is State.PENDING and each.present)]


def _explains(larger: Incident, incident: Incident) -> bool:
    """One that names merchants concerns no others."""
    named = larger.facts.get("merchants")
    return incident.kind in larger.terms.inhibits and (named is None or incident.merchant_id in named)


def _store(tx: Transaction, incident: Incident, before: Incident | None) -> None:
    write(tx.session, incident)
    if before is None or before.state is not incident.state:
        facts = {"incident": incident.id, "kind": incident.kind.value, "merchant": incident.merchant_id}
        subject = {"subject": incident.subject}
        tx.log_after_commit(log.info, "incident %s", incident.state.value, extra=facts | subject)


def _want_told(
    tx: Transaction, incidents: Sequence[Incident], muted: Collection[tuple[str, str]], now: datetime
) -> None:
    """A task for each channel that is to be told something by now."""
    session = tx.session
    open_ones = [each for each in incidents if each.opened_at is not None]
    if not open_ones:
        return
    channels = session.scalars(select(Channel).where(Channel.broken_since.is_(None))).all()
    messages = messages_of(session, {each.id for each in open_ones})
    for incident in open_ones:
        for channel in channels:
            message = messages.get((incident.id, channel.id))
            if incident.kind is Kind.CHANNEL_BROKEN and incident.subject == channel.id:
                continue
            telling = tell(incident, listener_of(channel), sent_message(message), now, muted=is_muted(incident, muted))
            if telling is None:
                continue
            if message is None:
                message = AlertMessage(
                    id=_message_id(incident, channel), channel_id=channel.id, incident_id=incident.id,
                    purpose="incident", sendings=0,
                )  # fmt: skip
                session.add(message)
            message.held = message.held or telling.held
            want(tx, message, now, telling.at)


def _message_id(incident: Incident, channel: Channel) -> str:
    return hashlib.sha256(f"{incident.id}:{channel.id}".encode()).hexdigest()[:32]
