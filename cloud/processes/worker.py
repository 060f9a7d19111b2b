"""Everything the cloud does in the background: one thread a loop, all of them claiming work from the database.

Any number of these processes may run (SQLite: one). What a dying one leaves half done, another takes after its lease.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from cloud.access.sealing import Sealing
from cloud.access.signing import Signer
from cloud.alerts.loops import ALERTS_SLOTS, alert_loops
from cloud.background import heartbeat
from cloud.background.loops import Loop, ThreadPool
from cloud.courier import broker_rights, job_sender, reader_lease
from cloud.courier.broker import PRESENCE_AND_STATE, REPORTS, BrokerLink, client_id_of, link_of
from cloud.courier.broker_rights import BrokerRights
from cloud.courier.dynamic_security import RESPONSE
from cloud.courier.job_sender import JobSender
from cloud.courier.listener import Listener
from cloud.courier.presence_listener import PresenceListener
from cloud.courier.probe import Prober
from cloud.courier.publisher import Publisher
from cloud.courier.reader_lease import Reader
from cloud.courier.tmetr.heartbeat import TmetrHeartbeats, nobody_is_online
from cloud.courier.tmetr.sender import TmetrSender
from cloud.courier.welcomes import Welcomes
from cloud.database.database import Database
from cloud.fleet import probes
from cloud.fleet.vault import Vault
from cloud.operators.retention import Retention
from cloud.orders import outbox, paying
from cloud.orders.deadlines import Deadlines
from cloud.orders.forgetting import Forgetting
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.sales_days import SalesRollup
from cloud.orders.tasks import Lane
from cloud.payments import adoption, openings, renewals
from cloud.payments.admission import SLOTS
from cloud.payments.adoption import Adoption
from cloud.payments.receipts.registration import RECEIPTS, Registration
from cloud.payments.reconcile.nightly import Nightly, Patience
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.renewals import Renewals
from cloud.payments.status_poller import NEWS, StatusPoller
from cloud.wiring import Cloud, jitter

log = logging.getLogger("cloud.processes.worker")

STOP_WITHIN_S = 10.0
ASKED_WITHIN_S = 20.0
"""Reconciliation asks in its loop's own thread: connect 5 s, answer 12 s."""
RECEIPT_SLOTS = 4
"""Receipts hurry nobody: most of the provider's patience is for payments."""
TMETR_SLOTS = 8
"""Calls to the Tmetr API under way at once; a make takes up to 15 s."""
MQTT_IN, PRESENCE_IN = "mqtt:in", "mqtt:presence"
DEADLINES = "deadlines"
HEARTBEAT = "heartbeat"
ASKING = frozenset({"cashier", "recheck", "receipts", "reconcile", "adoption"})
"""The loops that call providers."""
LOOK_EVERY = timedelta(seconds=5)
"""The link is looked at so often, whether or not that is worth a beat."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Worker:
    """Starts and stops the loops."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        database, rules, clock, wakeups = cloud.database, cloud.rules, cloud.clock, cloud.database.wakeups
        settings, self._dispatchers = cloud.settings, database.dispatchers
        money, news = outbox.topic(Lane.PROVIDER), NEWS
        mail = outbox.topic(Lane.MQTT)
        changed = (mail, MQTT_IN, HEARTBEAT, reader_lease.TOPIC, job_sender.TOPIC)
        client_id = client_id_of(cloud.owner)
        self.link = link_of(settings, client_id, lambda: wakeups.wake(changed), REPORTS)
        self.presence_link = link_of(
            settings, f"{client_id}-presence", lambda: wakeups.wake((PRESENCE_IN, HEARTBEAT, reader_lease.TOPIC)),
            PRESENCE_AND_STATE, for_one_reader=True,
        )  # fmt: skip
        self._links = [self.link, self.presence_link]
        self._readers = [
            Reader(database, self.link, cloud.owner),
            Reader(database, self.presence_link, cloud.owner, reader_lease.PRESENCE),
        ]
        welcomes = Welcomes(database, self.link, clock)
        self._listener = Listener(database, self.link, rules, welcomes, clock)
        # One pool, so that what is urgent finds a thread wherever it comes from; who gets one is the admission's.
        callers = ThreadPool("provider", SLOTS, lambda: wakeups.wake((news, money)))
        cloud.clients.admission.freed = lambda: wakeups.wake((news, money))
        self._makers: list[ThreadPool] = []
        self._pools = [
            callers,
            ThreadPool("receipts", RECEIPT_SLOTS, lambda: wakeups.wake((RECEIPTS,))),
            ThreadPool("notify", ALERTS_SLOTS, lambda: wakeups.wake((outbox.topic(Lane.NOTIFY),))),
        ]
        self._call_worker = cloud.call_worker(callers)
        self._poller = StatusPoller(database, cloud.clients, rules, callers, jitter, clock)
        self._publisher = Publisher(database, self.link, rules, cloud.owner, clock)
        publishing = Loop("publisher", self._publisher, wakeups, mail, clock)
        self.link.on_answer = publishing.wake
        self.link.on_received = lambda: wakeups.wake((MQTT_IN,))
        self.presence_link.on_received = lambda: wakeups.wake((PRESENCE_IN,))
        self._heartbeat = Heartbeat(database, self.link, self.presence_link, self._listener.lag_s, cloud.owner)
        self._patience = Patience()
        reconciler = Reconciler(database, cloud.clients, clock, self._patience.wait)
        self.loops = [
            publishing,
            Loop("cashier", self._call_worker, wakeups, money, clock),
            Loop("openings", cloud.openings, wakeups, openings.TOPIC, clock),
            Loop("recheck", self._poller, wakeups, news, clock),
            Loop(
                "receipts",
                Registration(database, cloud.clients, self._pools[1], jitter, clock),
                wakeups,
                RECEIPTS,
                clock,
            ),
            Loop("listener", self._listener, wakeups, MQTT_IN, clock),
            Loop(
                "presence", PresenceListener(database, self.presence_link, welcomes, clock), wakeups, PRESENCE_IN, clock
            ),
            *(Loop("reader", reader, wakeups, reader_lease.TOPIC, clock) for reader in self._readers),
            Loop("prober", Prober(database, self.link, clock), wakeups, probes.TOPIC, clock),
            Loop("jobs", JobSender(database, self.link, cloud.owner, clock), wakeups, job_sender.TOPIC, clock),
            Loop("deadlines", Deadlines(database, rules, self._is_listening, self._lag_s), wakeups, DEADLINES, clock),
            Loop("returns", ReturnFollowup(database), wakeups, None, clock),
            Loop("sales", SalesRollup(database), wakeups, None, clock),
            Loop("sealing", Sealing(database, _signer(cloud)), wakeups, None, clock),
            Loop("forgetting", Forgetting(database), wakeups, None, clock),
            Loop("retention", Retention(database), wakeups, None, clock),
            Loop("heartbeat", self._heartbeat, wakeups, HEARTBEAT, clock),
            Loop("credentials", Renewals(database), wakeups, renewals.TOPIC, clock),
            Loop("reconcile", Nightly(database, reconciler), wakeups, None, clock),
            *alert_loops(cloud, self._pools[2]),
            Loop(
                "adoption",
                Adoption(database, cloud.clients, rules, clock, self._patience.wait),
                wakeups,
                adoption.TOPIC,
                clock,
            ),
            *self._of_tmetr(cloud),
            *self._of_rights(cloud),
        ]
        self._asking = [loop for loop in self.loops if loop.name in ASKING]
        cloud.ending.at_once(self._ask_nothing_more)

    def start(self) -> None:
        """Connect and begin. Alone on a SQLite file, whatever is held is held by the dead: it is taken up at once."""
        if self._cloud.database.is_sqlite:
            self._cloud.database.transact(outbox.free_all)
            self._cloud.database.transact(paying.ask_all_now, self._cloud.clock())
        if self._cloud.tmetr() is None:
            self._cloud.database.transact(nobody_is_online, self._cloud.clock())
        for link in self._links:
            link.start()
        for loop in self.loops:
            loop.start()
        here = {Lane.MQTT: self._publisher.lane_worker(), Lane.PROVIDER: self._call_worker.lane_worker()}
        self._dispatchers.add(LaneWorkers(here))
        self._dispatchers.add(self._poller)
        for merchant, scenario, shop in sorted(self._cloud.clients.unreadable()):
            words = "the key of shop %s (%s of %s) cannot be read: nobody can be asked what was paid there"
            log.error(words, shop, scenario, merchant)
        log.info("worker started", extra={"worker": self._cloud.owner})

    def _is_listening(self) -> bool:
        return self.link.connections > 0

    def _lag_s(self) -> float:
        """How old the oldest word of a machine is that no worker has read yet."""
        others = heartbeat.behind_s(self._cloud.database, self._cloud.clock(), besides=self._cloud.owner)
        return max(self._listener.lag_s(), others)

    def _of_tmetr(self, cloud: Cloud) -> list[Loop]:
        """The loops for machines without an agent; none when no Tmetr API is set up."""
        client = cloud.tmetr()
        if client is None:
            return []
        database, clock, wakeups = cloud.database, cloud.clock, cloud.database.wakeups
        commands, beats = outbox.topic(Lane.TMETR), "tmetr:heartbeat"
        makers = ThreadPool("tmetr", TMETR_SLOTS, lambda: wakeups.wake((commands,)))
        lookers = ThreadPool("tmetr-heartbeat", TMETR_SLOTS, lambda: wakeups.wake((beats,)))
        self._makers = [makers, lookers]
        sender = TmetrSender(database, client, cloud.rules, cloud.owner, makers, clock)
        return [
            Loop("tmetr", sender, wakeups, commands, clock),
            Loop("tmetr-heartbeat", TmetrHeartbeats(database, client, lookers, clock), wakeups, beats, clock),
        ]

    def _of_rights(self, cloud: Cloud) -> list[Loop]:
        """Who may come in at the broker; nothing where a person decides it."""
        settings, wakeups = cloud.settings, cloud.database.wakeups
        if not settings.broker_rights:
            return []
        link = link_of(settings, client_id_of(f"{cloud.owner}-rights"), lambda: wakeups.wake((broker_rights.TOPIC,)),
                       [RESPONSE])  # fmt: skip
        self._links.append(link)
        vault = Vault(settings.secret_key, settings.old_secret_keys)
        rights = BrokerRights(cloud.database, link, vault, cloud.owner, link.user, cloud.clock)
        return [Loop("rights", rights, wakeups, broker_rights.TOPIC, cloud.clock)]

    def _ask_nothing_more(self) -> None:
        self._dispatchers.add(LaneWorkers({Lane.MQTT: self._publisher.lane_worker()}))
        self._dispatchers.remove(StatusPoller)
        self._patience.end()
        for loop in self._asking:
            loop.stop()

    def stop(self) -> None:
        """Finish what is in hand and end. While providers are waited for, machines are served and leases renewed."""
        self._cloud.ending.finish()
        _join(self._asking, ASKED_WITHIN_S)
        for pool in self._pools:
            pool.close()
        self._dispatchers.remove(LaneWorkers)
        for loop in self.loops:
            loop.stop()
        _join(self.loops, STOP_WITHIN_S)
        for pool in self._makers:
            pool.close()
        self._leave()
        for link in self._links:
            link.stop()
        self._heartbeat.end()
        log.info("worker stopped", extra={"worker": self._cloud.owner})

    def _leave(self) -> None:
        try:
            for reader in self._readers:
                reader.end()
        except SQLAlchemyError as error:  # it ends by itself soon
            log.warning("the reader's lease could not be given back: %s", type(error).__name__)


def _join(loops: Iterable[Loop], within_s: float) -> None:
    until = time.monotonic() + within_s
    for loop in loops:
        loop.join(max(0.0, until - time.monotonic()))


class Heartbeat:
    """Writes the worker's sign of life: now and then, and when the broker came or went. Woken for nothing, it waits."""

    def __init__(
        self, database: Database, link: BrokerLink, presence_link: BrokerLink, lag_s: Callable[[], float], owner: str
    ) -> None:
        self._database = database
        self._link = link
        self._presence_link = presence_link
        self._lag_s = lag_s
        self._owner = owner
        self._told: tuple[bool, ...] | None = None
        self._last = self._next = EPOCH

    def step(self, now: datetime) -> datetime:
        """One beat, when it is time for one, or when machines can be sold from no more, or again."""
        link = self._link
        connected, lag_s = link.connected, self._lag_s()
        hears = link.is_listening and self._presence_link.connected
        tells = (connected, hears, lag_s > heartbeat.FAR_BEHIND_S)
        if tells != self._told or not self._last <= now < self._next:  # the clock may have been set back
            self._next = self._database.transact(
                heartbeat.beat,
                self._owner,
                connected,
                now,
                hears_devices=hears,
                lag_s=lag_s,
                trouble=str(link.trouble or self._presence_link.trouble or ""),
            )
            self._told, self._last = tells, now
        return min(self._next, now + LOOK_EVERY)

    def end(self) -> None:
        """No more of them."""
        try:
            self._database.transact(heartbeat.leave, self._owner)
        except SQLAlchemyError as error:
            log.warning("the end could not be told: %s", type(error).__name__)


def _signer(cloud: Cloud) -> Signer:
    return Signer(cloud.settings.secret_key, cloud.settings.old_secret_keys)
