"""Sends what channels are to be told: claims a task, judges anew what is to be said, says it, settles.

Killed at any step, it is done again when the lease ends: nothing is lost, and what may have arrived before says so.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cloud.alerts import channel_settings, fair_claim, sendings
from cloud.alerts.buttons import ButtonSeal, Press
from cloud.alerts.channels.http import AGAIN_S
from cloud.alerts.channels.sender import (
    REPEATED,
    Address,
    Button,
    Delivered,
    Letter,
    Moved,
    NotNow,
    Refused,
    Sender,
    Unknown,
    Why,
)
from cloud.alerts.channels.sender import Sending as Outcome
from cloud.alerts.fair_claim import NOBODYS, Served
from cloud.alerts.hands import Hands
from cloud.alerts.incident import Incident
from cloud.alerts.models import AlertMessage, Channel, Delivery, IncidentRow
from cloud.alerts.sendings import Sending
from cloud.alerts.store import incident_of, is_muted, known, listener_of, mutes, sent_message
from cloud.alerts.telling import Telling, Word, tell
from cloud.alerts.wording import Reader, letter, one_line
from cloud.background.loops import Clock, ThreadPool
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.orders import outbox
from cloud.orders.outbox import Claim
from cloud.orders.tasks import REFUSED, Lane

log = logging.getLogger("cloud.alerts")

LEASE_S = 110.0
"""Longer than any sender takes: connecting, asking and answering are bounded (`channels/http.py`, `letters.py`)."""
ROUNDS = 12
"""So often a step looks whom else a free hand may serve."""
OF_A_DIGEST = 12
"""Troubles of one letter at most."""
GIVEN_UP_AFTER = timedelta(hours=24)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0
PAUSE_OF_FAILING = 8.0
"""A channel that fails is tried again after this part of the time it has failed."""
TURN = timedelta(seconds=2)
"""So long before what has failed the others of its channel are tried."""
LONGEST_ASKED_FOR = timedelta(hours=1)
"""A channel that asks us to wait longer is asked again after this: it may name any number."""


@dataclass(frozen=True)
class _Job:
    """One message to send: read in one transaction, sent outside, settled in another."""

    sending: Sending
    channel_id: str
    owner: str
    """The merchant whose channel it is, or the platform."""
    kind: str
    address: Address | None
    """None: what signs what goes there cannot be read."""
    letter: Letter
    telling: Telling
    revision: int
    unstable: bool
    ref: str
    digest: Sequence["_Job"] = ()
    """Other messages that this one letter stands for, each with what it says of its own trouble."""

    @property
    def parts(self) -> Sequence["_Job"]:
        """All that is done when it has arrived."""
        return (self, *self.digest)


class Notifier:
    """The lane `notify`."""

    def __init__(
        self, database: Database, senders: Mapping[str, Sender], vault: Vault, seal: ButtonSeal, console_url: str,
        owner: str,
        pool: ThreadPool, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._senders = senders
        self._vault = vault
        self._seal = seal
        self._console_url = console_url
        self._owner = owner
        self._hands = Hands(pool)
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Begin what is due, as far as there are hands for it. Raises what the database raises."""
        so_far = Served()
        for _ in range(ROUNDS):
            if self._hands.free <= 0:
                return now + timedelta(minutes=1)  # the first hand that is freed wakes us
            jobs = self._database.transact(self._claimed, so_far, now)
            if jobs is None:
                break
            for job in jobs:
                so_far.letters[job.channel_id] += 1
                self._hands.give(job.owner, self._sender_of(job))
        with self._database.read() as session:
            wanted = outbox.next_due(session, Lane.NOTIFY)
        return now + timedelta(minutes=1) if wanted is None else max(wanted, now + timedelta(seconds=1))

    def _claimed(self, tx: Transaction, so_far: Served, now: datetime) -> list[_Job] | None:
        """The next to be sent, no more than there are hands; None when there was nothing to be looked at."""
        by = Claim(self._owner, LEASE_S, self._hands.free)
        rows = fair_claim.claim(tx, now, by, self._hands.full(), so_far)
        jobs = []
        for sending in map(sendings.of_row, rows):
            channel = _channel_of(tx, sending)
            so_far.owners.add(channel.merchant_id if channel is not None else NOBODYS)
            job = self._prepared(tx, sending, now)
            if job is not None and not _waits(tx, job, now):
                jobs.append(self._with_digest(tx, job, now))
        return jobs if rows else None

    def _prepared(self, tx: Transaction, sending: Sending, now: datetime) -> _Job | None:
        message, channel = tx.session.get(AlertMessage, sending.message_id), _channel_of(tx, sending)
        if message is None or channel is None:
            sendings.drop(tx, sending.key, now)
            return None
        if message.incident_id is None:
            return self._once(message, channel, sending)
        row = known(tx.session, message.incident_id)
        if row is None or channel.broken_since is not None:
            sendings.withdraw(tx, message, sending.key, now)
            return None
        incident = incident_of(row)
        muted = is_muted(incident, mutes(tx.session, now))
        telling = tell(incident, listener_of(channel), sent_message(message), now, muted=muted)
        if telling is None:
            sendings.withdraw(tx, message, sending.key, now)
            return None
        if telling.at > now:
            sendings.put_off(tx, message, sending.key, telling.at, "", undone=True)
            return None
        return self._about(incident, message, channel, sending, telling, now)

    def _about(
        self,
        incident: Incident,
        message: AlertMessage,
        channel: Channel,
        sending: Sending,
        telling: Telling,
        now: datetime,
    ) -> _Job:
        reader = self._reader(channel)
        buttons = [
            Button(reader.say(f"button.{name}"), self._seal.seal(press, incident.id, channel.id, now))
            for press, name in ((Press.ACKNOWLEDGE, "acknowledge"), (Press.SNOOZE, "snooze"))
            if incident.is_live and incident.acknowledged_at is None
        ]
        said = letter(
            incident, telling.word, reader, sending.key, now, buttons,
            repeated=sending.may_have_arrived and not telling.is_change,
        )  # fmt: skip
        telling = replace(telling, held=message.held and not telling.is_change)  # a digest changes no message
        return _Job(
            sending, channel.id, channel.merchant_id, channel.kind, self._address(channel), said, telling,
            incident.revision, incident.unstable, message.ref,
        )  # fmt: skip

    def _once(self, message: AlertMessage, channel: Channel, sending: Sending) -> _Job:
        body = message.body + _mark(channel, sending)
        said = Letter(
            sending.key, message.subject, body, facts={"purpose": message.purpose}, repeated=sending.may_have_arrived,
        )  # fmt: skip
        telling = Telling(Word.OPEN, message.task_due_at or self._clock())
        address = self._address(channel)
        return _Job(sending, channel.id, channel.merchant_id, channel.kind, address, said, telling, 0, False, "")

    def _with_digest(self, tx: Transaction, job: _Job, now: datetime) -> _Job:
        """What waited for the end of a channel's quiet hours goes there as one letter."""
        if not job.telling.held:
            return job
        by, held = Claim(self._owner, LEASE_S, OF_A_DIGEST - 1), [job]
        for row in fair_claim.claim_held(tx, job.channel_id, now, by):
            other = self._prepared(tx, sendings.of_row(row), now)
            if other is not None and other.telling.held:
                held.append(other)
            elif other is not None:
                sendings.put_off(tx, _message_of(tx, other), other.sending.key, now, "", undone=True)
        return job if len(held) == 1 else self._digest(tx, held, now)

    def _digest(self, tx: Transaction, held: Sequence[_Job], now: datetime) -> _Job:
        first = held[0]
        channel = tx.session.get_one(Channel, first.channel_id)
        reader = self._reader(channel)
        lines = []
        for job in held:
            message = _message_of(tx, job)
            incident = incident_of(tx.session.get_one(IncidentRow, message.incident_id))
            lines.append(one_line(incident, job.telling.word, reader, now))
        subject = reader.say("digest.subject", n=len(held))
        text = "\n".join([reader.say("digest.title"), "", *lines]) + _mark(channel, first.sending)
        facts = {"purpose": "digest", "incidents": [dict(job.letter.facts) for job in held]}
        said = Letter(first.sending.key, subject, text, f"{self._console_url}/alerts", facts=facts)
        return replace(first, letter=said, digest=held[1:])

    def _sender_of(self, job: _Job) -> Callable[[], None]:
        def send() -> None:
            sender = self._senders.get(job.kind)
            if job.address is None:
                outcome: Outcome = NotNow(AGAIN_S, Why.SECRET_UNREADABLE)
            elif sender is None:
                outcome = NotNow(AGAIN_S, Why.NOT_SET_UP)
            elif job.telling.is_change:
                outcome = sender.change(job.address, job.ref, job.letter)
            else:
                outcome = sender.send(job.address, job.letter)
            self._database.transact(self._settle, job, outcome, self._clock())

        return send

    def _settle(self, tx: Transaction, job: _Job, outcome: Outcome, now: datetime) -> None:
        channel = tx.session.get(Channel, job.channel_id)
        if channel is None:
            return
        _log_delivery(tx, job, outcome, now)
        if isinstance(outcome, Delivered) and job.digest:
            outcome = Delivered()  # a digest speaks of others too: it is not changed later
        for each in job.parts:
            message = tx.session.get(AlertMessage, each.sending.message_id)
            if message is not None and sendings.is_held(tx, each.sending.key, self._owner):
                _settle_one(tx, message, channel, each, outcome, now)

    def _reader(self, channel: Channel) -> Reader:
        return Reader(channel.language, ZoneInfo(channel.zone), self._console_url)

    def _address(self, channel: Channel) -> Address | None:
        try:
            return Address(channel.address, self._vault.open(channel.secret) if channel.secret else "")
        except SecretUnreadable:
            return None


def _mark(channel: Channel, sending: Sending) -> str:
    """Says of a message that it may be a duplicate."""
    return f"\n{REPEATED[channel.language]}" if sending.may_have_arrived else ""


def _waits(tx: Transaction, job: _Job, now: datetime) -> bool:
    """Whether its channel failed a moment ago: it is tried before what has failed, which may be to blame itself."""
    if tx.session.get_one(Channel, job.channel_id).failing_since is None:
        return False
    until = sendings.failed_until(tx, job.channel_id, now + TURN, now + LONGEST_ASKED_FOR)
    if until is None:
        return False
    _try_later(tx, _message_of(tx, job), job, now, until - TURN, "", undone=True)
    return True


def _channel_of(tx: Transaction, sending: Sending) -> Channel | None:
    message = tx.session.get(AlertMessage, sending.message_id)
    return None if message is None else tx.session.get(Channel, message.channel_id)


def _message_of(tx: Transaction, job: _Job) -> AlertMessage:
    return tx.session.get_one(AlertMessage, job.sending.message_id)


def _settle_one(
    tx: Transaction, message: AlertMessage, channel: Channel, job: _Job, outcome: Outcome, now: datetime
) -> None:
    sending = job.sending
    match outcome:
        case Delivered(ref):
            _mark_told(message, job, ref, now)
            sendings.settle(tx, message, sending.key, now)
            channel.works_again()
        case Moved(to):
            channel_settings.move(tx, channel, to)
            sendings.put_off(tx, message, sending.key, now, "the chat has moved", undone=True)
        case NotNow(after_s, why):
            again = max(_next_try(channel, why, now), now + timedelta(seconds=_asked_for(after_s)))
            _try_later(tx, message, job, now, again, why, undone=True)
        case Unknown(why):
            _try_later(tx, message, job, now, _next_try(channel, why, now), why, undone=False)
        case Refused(why):
            sendings.settle(tx, message, sending.key, now, REFUSED)
            _give_up_changing(message, job)
            channel.fails_no_more()
            channel.broken_since, channel.broken_why = channel.broken_since or now, why[:128]


def _next_try(channel: Channel, why: str, now: datetime) -> datetime:
    """Note that it fails; its pauses grow with the time it has."""
    channel.failing_since, channel.failing_why = channel.failing_since or now, why[:128]
    growing_s = (now - channel.failing_since).total_seconds() / PAUSE_OF_FAILING
    return now + timedelta(seconds=min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, growing_s)))


def _asked_for(after_s: float) -> float:
    return max(0.0, min(after_s, LONGEST_ASKED_FOR.total_seconds()))  # in this order what is no number is 0


def _try_later(
    tx: Transaction, message: AlertMessage, job: _Job, now: datetime, again: datetime, why: str, *, undone: bool
) -> None:
    if now - job.sending.created_at > GIVEN_UP_AFTER:
        sendings.settle(tx, message, job.sending.key, now, sendings.GIVEN_UP)
        _give_up_changing(message, job)
        return
    sendings.put_off(tx, message, job.sending.key, again, why, undone=undone)


def _give_up_changing(message: AlertMessage, job: _Job) -> None:
    """What cannot be changed any more is told by a new message: the same change would be refused for ever."""
    if job.telling.is_change:
        message.can_change = False


def _mark_told(message: AlertMessage, job: _Job, ref: str, now: datetime) -> None:
    message.word, message.told_revision, message.told_unstable = job.telling.word.value, job.revision, job.unstable
    message.changed_at, message.held = now, False
    if not job.telling.is_change:
        message.told_at, message.ref = now, ref
        message.can_change = bool(ref)
    elif ref:
        message.ref = ref


def _log_delivery(tx: Transaction, job: _Job, outcome: Outcome, now: datetime) -> None:
    result = type(outcome).__name__.lower()
    detail = getattr(outcome, "why", "")
    tx.session.add(
        Delivery(channel_id=job.channel_id, at=now, what=job.letter.key[:64], result=result, detail=detail[:128])
    )
    facts = {"channel": job.channel_id, "task": job.sending.key, "detail": detail}
    tx.log_after_commit(log.info, "alert %s", result, extra=facts)
