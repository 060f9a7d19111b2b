"""Sends what channels are to be told: claims a task, judges anew what is to be said, says it, settles.

Killed at any step, it is done again when the lease ends: nothing is lost, and what may have arrived before says so.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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
from cloud.alerts.incident import Incident
from cloud.alerts.models import AlertMessage, Channel, Delivery, IncidentRow
from cloud.alerts.sendings import Sending
from cloud.alerts.shared_pool import SharedPool
from cloud.alerts.store import incident_of, is_muted, known, listener_of, mutes, sent_message
from cloud.alerts.telling import Telling, Word, tell
from cloud.alerts.wording import Reader, letter, one_line
from cloud.background.loops import Clock, ThreadPool
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.fleet.zones import zone
from cloud.orders import outbox
from cloud.orders.outbox import Lease
from cloud.orders.tasks import REFUSED, Lane

log = logging.getLogger("cloud.alerts")

LEASE_S = 110.0
"""Longer than any sender takes: connecting, asking and answering are bounded (`channels/http.py`, `letters.py`)."""
ROUNDS = 12
"""So often a step looks whom else a free thread may serve."""
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
class _Outgoing:
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
    digest: Sequence["_Outgoing"] = ()
    """Other messages that this one letter stands for, each with what it says of its own trouble."""

    @property
    def parts(self) -> Sequence["_Outgoing"]:
        """All that is done when it has arrived."""
        return (self, *self.digest)


class AlertSender:
    """Carries out the lane `notify`."""

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
        self._pool = SharedPool(pool)
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Begin what is due, as far as threads are free for it. Raises what the database raises."""
        so_far = Served()
        for _ in range(ROUNDS):
            if self._pool.free <= 0:
                return now + timedelta(minutes=1)  # the first thread that is freed wakes us
            claimed = self._database.transact(self._claimed, so_far, now)
            if claimed is None:
                break
            for outgoing in claimed:
                so_far.letters[outgoing.channel_id] += 1
                self._pool.submit(outgoing.owner, self._sender_of(outgoing))
        with self._database.read() as session:
            wanted = outbox.next_due(session, Lane.NOTIFY)
        return now + timedelta(minutes=1) if wanted is None else max(wanted, now + timedelta(seconds=1))

    def _claimed(self, tx: Transaction, so_far: Served, now: datetime) -> list[_Outgoing] | None:
        """The next to be sent, no more than threads are free; None when there was nothing to be looked at."""
        by = Lease(self._owner, LEASE_S, self._pool.free)
        rows = fair_claim.claim(tx, now, by, self._pool.owners_at_limit(), so_far)
        claimed = []
        for sending in map(sendings.of_row, rows):
            channel = _channel_of(tx, sending)
            so_far.owners.add(channel.merchant_id if channel is not None else NOBODYS)
            outgoing = self._prepared(tx, sending, now)
            if outgoing is not None and not _waits(tx, outgoing, now):
                claimed.append(self._with_digest(tx, outgoing, now))
        return claimed if rows else None

    def _prepared(self, tx: Transaction, sending: Sending, now: datetime) -> _Outgoing | None:
        message, channel = tx.session.get(AlertMessage, sending.message_id), _channel_of(tx, sending)
        if message is None or channel is None:
            sendings.drop(tx, sending.key, now)
            return None
        if message.incident_id is None:
            if (quiet_until := _quiet_until(channel, message, now)) is not None:
                sendings.reschedule(tx, message, sending.key, quiet_until, "", undone=True)
                return None
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
            sendings.reschedule(tx, message, sending.key, telling.at, "", undone=True)
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
    ) -> _Outgoing:
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
        return _Outgoing(
            sending, channel.id, channel.merchant_id, channel.kind, self._address(channel), said, telling,
            incident.revision, incident.unstable, message.ref,
        )  # fmt: skip

    def _once(self, message: AlertMessage, channel: Channel, sending: Sending) -> _Outgoing:
        body = message.body + _mark(channel, sending)
        said = Letter(
            sending.key, message.subject, body, facts={"purpose": message.purpose}, repeated=sending.may_have_arrived,
        )  # fmt: skip
        telling = Telling(Word.OPEN, message.task_due_at or self._clock())
        address = self._address(channel)
        return _Outgoing(sending, channel.id, channel.merchant_id, channel.kind, address, said, telling, 0, False, "")

    def _with_digest(self, tx: Transaction, outgoing: _Outgoing, now: datetime) -> _Outgoing:
        """What waited for the end of a channel's quiet hours goes there as one letter."""
        if not outgoing.telling.held:
            return outgoing
        by, held = Lease(self._owner, LEASE_S, OF_A_DIGEST - 1), [outgoing]
        for row in fair_claim.claim_held(tx, outgoing.channel_id, now, by):
            other = self._prepared(tx, sendings.of_row(row), now)
            if other is not None and other.telling.held:
                held.append(other)
            elif other is not None:
                sendings.reschedule(tx, _message_of(tx, other), other.sending.key, now, "", undone=True)
        return outgoing if len(held) == 1 else self._digest(tx, held, now)

    def _digest(self, tx: Transaction, held: Sequence[_Outgoing], now: datetime) -> _Outgoing:
        first = held[0]
        channel = tx.session.get_one(Channel, first.channel_id)
        reader = self._reader(channel)
        lines = []
        for outgoing in held:
            message = _message_of(tx, outgoing)
            incident = incident_of(tx.session.get_one(IncidentRow, message.incident_id))
            lines.append(one_line(incident, outgoing.telling.word, reader, now))
        subject = reader.say("digest.subject", n=len(held))
        text = "\n".join([reader.say("digest.title"), "", *lines]) + _mark(channel, first.sending)
        facts = {"purpose": "digest", "incidents": [dict(outgoing.letter.facts) for outgoing in held]}
        said = Letter(first.sending.key, subject, text, f"{self._console_url}/alerts", facts=facts)
        return replace(first, letter=said, digest=held[1:])

    def _sender_of(self, outgoing: _Outgoing) -> Callable[[], None]:
        def send() -> None:
            sender = self._senders.get(outgoing.kind)
            if outgoing.address is None:
                outcome: Outcome = NotNow(AGAIN_S, Why.SECRET_UNREADABLE)
            elif sender is None:
                outcome = NotNow(AGAIN_S, Why.NOT_SET_UP)
            elif outgoing.telling.is_change:
                outcome = sender.change(outgoing.address, outgoing.ref, outgoing.letter)
            else:
                outcome = sender.send(outgoing.address, outgoing.letter)
            self._database.transact(self._settle, outgoing, outcome, self._clock())

        return send

    def _settle(self, tx: Transaction, outgoing: _Outgoing, outcome: Outcome, now: datetime) -> None:
        channel = tx.session.get(Channel, outgoing.channel_id)
        if channel is None:
            return
        _log_delivery(tx, outgoing, outcome, now)
        if isinstance(outcome, Delivered) and outgoing.digest:
            outcome = Delivered()  # a digest speaks of others too: it is not changed later
        for each in outgoing.parts:
            message = tx.session.get(AlertMessage, each.sending.message_id)
            if message is not None and sendings.is_held(tx, each.sending.key, self._owner):
                _settle_one(tx, message, channel, each, outcome, now)

    def _reader(self, channel: Channel) -> Reader:
        return Reader(channel.language, zone(channel.zone), self._console_url)

    def _address(self, channel: Channel) -> Address | None:
        try:
            return Address(channel.address, self._vault.open(channel.secret) if channel.secret else "")
        except SecretUnreadable:
            return None


def _mark(channel: Channel, sending: Sending) -> str:
    """Says of a message that it may be a duplicate."""
    return f"\n{REPEATED[channel.language]}" if sending.may_have_arrived else ""


def _quiet_until(channel: Channel, message: AlertMessage, now: datetime) -> datetime | None:
    """Until when it may not come; a test may at once."""
    quiet = listener_of(channel).quiet
    return quiet.end_of(now) if quiet is not None and message.purpose != channel_settings.TEST else None


def _waits(tx: Transaction, outgoing: _Outgoing, now: datetime) -> bool:
    """Whether its channel failed a moment ago: it is tried before what has failed, which may be to blame itself."""
    if tx.session.get_one(Channel, outgoing.channel_id).failing_since is None:
        return False
    until = sendings.failed_until(tx, outgoing.channel_id, now + TURN, now + LONGEST_ASKED_FOR)
    if until is None:
        return False
    _try_later(tx, _message_of(tx, outgoing), outgoing, now, until - TURN, "", undone=True)
    return True


def _channel_of(tx: Transaction, sending: Sending) -> Channel | None:
    message = tx.session.get(AlertMessage, sending.message_id)
    return None if message is None else tx.session.get(Channel, message.channel_id)


def _message_of(tx: Transaction, outgoing: _Outgoing) -> AlertMessage:
    return tx.session.get_one(AlertMessage, outgoing.sending.message_id)


def _settle_one(
    tx: Transaction, message: AlertMessage, channel: Channel, outgoing: _Outgoing, outcome: Outcome, now: datetime
) -> None:
    sending = outgoing.sending
    match outcome:
        case Delivered(ref):
            _mark_told(message, outgoing, ref, now)
            sendings.settle(tx, message, sending.key, now)
            channel.works_again()
        case Moved(to):
            channel_settings.move(tx, channel, to)
            sendings.reschedule(tx, message, sending.key, now, "the chat has moved", undone=True)
        case NotNow(after_s, why):
            again = max(_next_try(channel, why, now), now + timedelta(seconds=_asked_for(after_s)))
            _try_later(tx, message, outgoing, now, again, why, undone=True)
        case Unknown(why):
            _try_later(tx, message, outgoing, now, _next_try(channel, why, now), why, undone=False)
        case Refused(why):
            sendings.settle(tx, message, sending.key, now, REFUSED)
            _give_up_changing(message, outgoing)
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
    tx: Transaction, message: AlertMessage, outgoing: _Outgoing, now: datetime, again: datetime, why: str, *,
    undone: bool,
) -> None:  # fmt: skip
    if now - outgoing.sending.created_at > GIVEN_UP_AFTER:
        sendings.settle(tx, message, outgoing.sending.key, now, sendings.GIVEN_UP)
        _give_up_changing(message, outgoing)
        return
    sendings.reschedule(tx, message, outgoing.sending.key, again, why, undone=undone)


def _give_up_changing(message: AlertMessage, outgoing: _Outgoing) -> None:
    """What cannot be changed any more is told by a new message: the same change would be refused for ever."""
    if outgoing.telling.is_change:
        message.can_change = False


def _mark_told(message: AlertMessage, outgoing: _Outgoing, ref: str, now: datetime) -> None:
    message.word, message.changed_at, message.held = outgoing.telling.word.value, now, False
    message.told_revision, message.told_unstable = outgoing.revision, outgoing.unstable
    if not outgoing.telling.is_change:
        message.told_at, message.ref = now, ref
        message.can_change = bool(ref)
    elif ref:
        message.ref = ref


def _log_delivery(tx: Transaction, outgoing: _Outgoing, outcome: Outcome, now: datetime) -> None:
    result = type(outcome).__name__.lower()
    detail = getattr(outcome, "why", "")
    what, channel_id = outgoing.letter.key[:64], outgoing.channel_id
    tx.session.add(Delivery(channel_id=channel_id, at=now, what=what, result=result, detail=detail[:128]))
    facts = {"channel": channel_id, "task": outgoing.sending.key, "detail": detail}
    tx.log_after_commit(log.info, "alert %s", result, extra=facts)
