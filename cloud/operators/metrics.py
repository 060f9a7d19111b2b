"""`/metrics` in Prometheus' text format: gauges read from the database, and what all processes counted. Never public.

Served to whoever has the token; without one set, only to this machine itself, and to nobody a proxy speaks for.
"""

import hmac
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime, timedelta

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from cloud.background import heartbeat
from cloud.background.loops import Clock
from cloud.courier.message_counts import SENSELESS, TOO_FAST, WAIT_SECONDS
from cloud.database.database import Database
from cloud.fleet import machine_events
from cloud.fleet.accounts import Account
from cloud.fleet.models import Device, DeviceLive
from cloud.http.addresses import client_address
from cloud.metrics.counts import Counter, Histogram
from cloud.metrics.exposition import CONTENT_TYPE, Counted, Gauge, exposition
from cloud.metrics.totals import totals
from cloud.operators.counted_requests import REQUEST_SECONDS, WEBHOOKS
from cloud.orders.at_risk import Next, each_at_risk, summed
from cloud.orders.models import Payment
from cloud.orders.order_hours import by_status
from cloud.orders.outbox import OutboxRow
from cloud.orders.restores import unfinished
from cloud.orders.stage_times import STAGE_SECONDS
from cloud.orders.states import Status
from cloud.orders.tasks import Lane
from cloud.orders.waiting_return import AWAITS_DECISION
from cloud.payments.counted_calls import CALL_SECONDS
from cloud.payments.reconcile.days import last_due
from cloud.payments.reconcile.differences import open_differences
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State

HOUR = timedelta(hours=1)
KEPT_S = 10.0
"""However many ask, the database is asked this often."""
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")
"""A request with one of these came through a proxy: its nearness says nothing about its sender."""


COUNTED: tuple[Counter | Histogram, ...] = (
    STAGE_SECONDS, CALL_SECONDS, WEBHOOKS, REQUEST_SECONDS, WAIT_SECONDS, SENSELESS, TOO_FAST,
)  # fmt: skip
Unreadable = Callable[[], Collection[Account]]
"""Tells whose stored secrets cannot be read."""


def create_blueprint(database: Database, clock: Clock, token: str, unreadable: Unreadable) -> Blueprint:
    """The route."""
    blueprint = Blueprint("metrics", __name__)
    metrics = Metrics(database, unreadable)

    @blueprint.get("/metrics")
    def show() -> tuple[Response, int] | Response:
        if not may_see(token):
            said = "COFFEE_METRICS_TOKEN is needed" if token else "only from this machine; see COFFEE_METRICS_TOKEN"
            return jsonify(error={"code": "forbidden", "message": said}), 403
        return Response(metrics.text(clock()), content_type=CONTENT_TYPE)

    return blueprint


class Metrics:
    """Reads the figures, and keeps them for a few seconds."""

    def __init__(self, database: Database, unreadable: Unreadable) -> None:
        self._database = database
        self._unreadable = unreadable
        self._lock = threading.Lock()
        self._text = ""
        self._read_at: datetime | None = None

    def text(self, now: datetime) -> str:
        """Everything, in the text format. Raises what the database raises."""
        with self._lock:
            if self._read_at is None or not self._read_at <= now < self._read_at + timedelta(seconds=KEPT_S):
                unreadable = self._unreadable()
                with self._database.read() as session:
                    self._text = exposition(_gauges(session, now, unreadable), _counted(session))
                self._read_at = now
            return self._text


def may_see(token: str) -> bool:
    """Whether this request may be told what is not public."""
    if token:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    address = client_address(request.remote_addr, None, ())
    through_a_proxy = any(name in request.headers for name in _FORWARDED)
    return address is not None and address.is_loopback and not through_a_proxy


def _gauges(session: Session, now: datetime, unreadable: Collection[Account] = ()) -> Sequence[Gauge]:
    return [
        *_money(session, now, unreadable),
        _orders(session),
        *_outbox(session, now),
        *_reconciliation(session, now),
        *_workers(session, now),
        _restores(session),
        _devices(session),
        _events(session, now),
    ]


def _counted(session: Session) -> list[Counted]:
    found = totals(session)
    return [Counted(metric, found.get(metric.name, {})) for metric in COUNTED]


def _money(session: Session, now: datetime, unreadable: Collection[Account]) -> Iterator[Gauge]:
    each = each_at_risk(session, now, unreadable=unreadable)
    differences = open_differences(session, each)
    found = {risk.action: risk for risk in summed([*each, *differences], now)}
    kopecks = Gauge("coffee_money_at_risk_kopecks", "Taken or held, neither poured nor returned, by what happens next.")
    payments = Gauge("coffee_money_at_risk_payments", "Payments behind coffee_money_at_risk_kopecks.")
    oldest = Gauge("coffee_money_at_risk_oldest_seconds", "Age of the oldest of them; 0 when there is none.")
    for action in Next:  # all of them, also at zero: an alert needs something to compare
        risk = found.get(action)
        kopecks.add(risk.kopecks if risk else 0, action=action.value)
        payments.add(risk.payments if risk else 0, action=action.value)
        oldest.add(risk.oldest_s if risk else 0, action=action.value)
    yield from (kopecks, payments, oldest)


def _orders(session: Session) -> Gauge:
    gauge = Gauge("coffee_orders", "Orders by their status; those that have ended as of the last minute.")
    found = by_status(session)
    for status in Status:
        gauge.add(found.get(status.value, 0), status=status.value)
    return gauge


def _outbox(session: Session, now: datetime) -> Iterator[Gauge]:
    count = Gauge("coffee_outbox_unsettled", "Tasks whose outcome is not known, by lane.")
    oldest = Gauge(
        "coffee_outbox_oldest_seconds", "How long the oldest has been due, or tried in vain; 0 when none is."
    )
    may_begin = ~exists().where(Payment.id == OutboxRow.subject, AWAITS_DECISION)
    was_tried = or_(OutboxRow.first_tried_at.is_not(None), OutboxRow.last_error != "")  # each try makes it due later
    since = func.coalesce(OutboxRow.first_tried_at, OutboxRow.created_at)  # no key has an age of what was never sent
    wanted_since = case((and_(was_tried, OutboxRow.reference == ""), since), else_=OutboxRow.due_at)
    first_due = func.min(case((may_begin, wanted_since)))
    asked = select(OutboxRow.lane, func.count(), first_due).where(OutboxRow.settled_at.is_(None))
    found = {lane: (number, due or now) for lane, number, due in session.execute(asked.group_by(OutboxRow.lane))}
    for lane in Lane:
        number, due_at = found.get(lane.value, (0, now))
        count.add(number, lane=lane.value)
        oldest.add(max(0.0, (now - due_at).total_seconds()), lane=lane.value)
    yield from (count, oldest)


def _reconciliation(session: Session, now: datetime) -> Iterator[Gauge]:
    findings = Gauge("coffee_reconciliation_findings", "Differences nobody has explained yet, by kind and state.")
    is_open = FoundDifference.state.in_((State.OPEN.value, State.MENDING.value))
    asked = select(FoundDifference.kind, FoundDifference.state, func.count()).where(is_open)
    for kind, state, number in session.execute(asked.group_by(FoundDifference.kind, FoundDifference.state)):
        findings.add(number, kind=kind, state=state)
    total = Gauge("coffee_reconciliation_unexplained", "All of them that a person must look at.")
    total.add(sum(number for labels, number in findings.samples if labels["state"] == State.OPEN))
    unfinished = Gauge("coffee_reconciliation_unfinished", "Days that are due and not compared to the end.")
    unfinished.add(_unfinished_days(session, last_due(now)))
    yield from (findings, total, unfinished)


def _unfinished_days(session: Session, last: date) -> int:
    """Each shop's days that were written down; and days that nobody has written down, as every night does."""
    is_due = and_(Reconciliation.next_at.is_not(None), Reconciliation.day <= last)
    written = session.scalar(select(func.count()).where(is_due, Reconciliation.complete.is_(False)))
    newest = session.scalar(select(func.max(Reconciliation.day)).where(Reconciliation.day <= last))
    return int(written or 0) + ((last - newest).days if newest else 0)


def _workers(session: Session, now: datetime) -> Iterator[Gauge]:
    found = heartbeat.alive(session, now)
    workers = Gauge("coffee_workers_alive", "Worker processes that gave a sign of life in the last seconds.")
    workers.add(len(found))
    connected = Gauge("coffee_workers_at_broker", "Those of them that reach the MQTT broker.")
    connected.add(sum(worker.broker_connected for worker in found))
    hearing = Gauge("coffee_workers_hearing", "Those of them that also hear the machines.")
    hearing.add(sum(worker.broker_connected and worker.hears_devices for worker in found))
    lag = Gauge("coffee_listener_lag_seconds", "For how long the oldest unread report of a machine has waited.")
    lag.add(max((worker.lag_s for worker in found), default=0.0))
    yield from (workers, connected, hearing, lag)


def _restores(session: Session) -> Gauge:
    gauge = Gauge("coffee_restores_unfinished", "Restores of the database whose forgotten time is not all found again.")
    gauge.add(len(unfinished(session)))
    return gauge


def _devices(session: Session) -> Gauge:
    gauge = Gauge("coffee_devices", "Machines, by what they are set to and whether they are online, or never were.")
    online = case((DeviceLive.online, "true"), (DeviceLive.seen_at.is_(None), "never"), else_="false")
    asked = select(Device.status, online, func.count()).outerjoin(
        DeviceLive, DeviceLive.device_uuid == Device.device_uuid
    )  # fmt: skip
    found = {(status, how): number for status, how, number in session.execute(asked.group_by(Device.status, online))}
    on_sale = {("active", how): 0 for how in ("true", "false", "never")}  # also at zero: they are compared with before
    for (status, how), number in (on_sale | found).items():
        gauge.add(number, status=status, online=how)
    return gauge


def _events(session: Session, now: datetime) -> Gauge:
    gauge = Gauge("coffee_machine_events", "Events machines told of in the last hour, by what happened.")
    for what, number in machine_events.counts(session, now - HOUR).items():
        gauge.add(number, what=what)
    return gauge
