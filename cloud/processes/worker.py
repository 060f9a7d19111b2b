"""Everything the cloud does in the background: one thread a loop, all of them claiming work from the database.

Any number of these processes may run (SQLite: one). What a dying one leaves half done, another takes after its lease.
"""

import logging
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from cloud.access.sealing import Sealing
from cloud.access.signing import Signer
from cloud.alerts.loops import ALERTS_SLOTS, alert_loops
from cloud.background import heartbeat
from cloud.background.loops import Loop, Steps, ThreadPool
from cloud.books import exports
from cloud.books.export_maker import ExportMaker
from cloud.courier import broker_rights, job_sender, reader_lease
from cloud.courier.broker import PRESENCE_AND_STATE, REPORTS, client_id_of, link_of
from cloud.courier.broker_rights import BrokerRights
from cloud.courier.dynamic_security import RESPONSE
from cloud.courier.job_sender import JobSender
from cloud.courier.listener import Listener
from cloud.courier.presence_listener import PresenceListener
from cloud.courier.probe import Prober
from cloud.courier.publisher import Publisher
from cloud.courier.reader_lease import Reader
from cloud.courier.silence import Silence
from cloud.courier.tmetr.heartbeat import TmetrHeartbeats, nobody_is_online
from cloud.courier.tmetr.sender import TmetrSender
from cloud.courier.welcomes import Welcomes
from cloud.fleet import probes
from cloud.fleet.vault import Vault
from cloud.operators.retention import Retention
from cloud.orders import outbox, paying
from cloud.orders.archiving import Archiving
from cloud.orders.deadlines import Deadlines
from cloud.orders.earned_backfill import EarnedBackfill
from cloud.orders.forgetting import Forgetting
from cloud.orders.order_counts import OrderCounts
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.sales_days import SalesRollup
from cloud.orders.tasks import Lane
from cloud.payments import openings, renewals, restore_from_lists
from cloud.payments.admission import SLOTS
from cloud.payments.receipts.registration import RECEIPTS, Registration
from cloud.payments.reconcile.nightly import Nightly, Patience
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.renewals import Renewals
from cloud.payments.restore_from_lists import RestoreFromLists
from cloud.payments.status_poller import NEWS, StatusPoller
from cloud.processes.worker_heartbeat import WorkerHeartbeat
from cloud.releases import rollouts
from cloud.releases.stager import Stager
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
ASKING = frozenset({"cashier", "recheck", "receipts", "reconcile", "adoption", "notify"})
"""The loops that call providers and messengers: they end before the threads that they call in."""


class Worker:
    """Starts and stops the loops."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._database, self._clock, self._wakeups = cloud.database, cloud.clock, cloud.database.wakeups
        self._dispatchers = cloud.database.dispatchers
        self._patience = Patience()
        self._makers: list[ThreadPool] = []
        self._connect()
        # One pool, so that what is urgent finds a thread wherever it comes from; the admission says which call does.
        callers = self._pool("provider", SLOTS, NEWS, outbox.topic(Lane.PROVIDER))
        cloud.clients.admission.freed = lambda: self._wakeups.wake((NEWS, outbox.topic(Lane.PROVIDER)))
        receipts, notify = (
            self._pool("receipts", RECEIPT_SLOTS, RECEIPTS),
            self._pool("notify", ALERTS_SLOTS, outbox.topic(Lane.NOTIFY)),
        )
        self._pools = [callers, receipts, notify]
        self._call_worker = cloud.call_worker(callers)
        self._poller = StatusPoller(cloud.database, cloud.clients, cloud.rules, callers, jitter, cloud.clock)
        self.loops = [
            self._publishing,
            *self._of_providers(receipts),
            *self._of_machines(),
            *self._of_the_clock(),
            *alert_loops(cloud, notify),
            *self._of_tmetr(),
            *self._of_rights(),
        ]
        self._asking = [loop for loop in self.loops if loop.name in ASKING]
        cloud.ending.at_once(self._ask_nothing_more)

    def _connect(self) -> None:
        """Make the links to the broker, and their readers and writers."""
        cloud, wakeups = self._cloud, self._wakeups
        mail, client_id = outbox.topic(Lane.MQTT), client_id_of(cloud.owner)
        changed = (mail, MQTT_IN, HEARTBEAT, reader_lease.TOPIC, job_sender.TOPIC)
        self.link = link_of(cloud.settings, client_id, lambda: wakeups.wake(changed), REPORTS)
        self.presence_link = link_of(
            cloud.settings, f"{client_id}-presence",
            lambda: wakeups.wake((PRESENCE_IN, HEARTBEAT, reader_lease.TOPIC)),
            PRESENCE_AND_STATE, for_one_reader=True,
        )  # fmt: skip
        self.link.on_received = lambda: wakeups.wake((MQTT_IN,))
        self.presence_link.on_received = lambda: wakeups.wake((PRESENCE_IN,))
        self._links = [self.link, self.presence_link]
        self._readers = [
            Reader(cloud.database, self.link, cloud.owner),
            Reader(cloud.database, self.presence_link, cloud.owner, reader_lease.PRESENCE),
        ]
        self._welcomes = Welcomes(cloud.database, self.link, cloud.clock)
        self._listener = Listener(
            cloud.database, self.link, cloud.rules, self._welcomes, cloud.clock, cloud.counts
        )  # fmt: skip
        self._publisher = Publisher(cloud.database, self.link, cloud.rules, cloud.owner, cloud.clock)
        self._publishing = self._loop("publisher", self._publisher, mail)
        self.link.on_answer = self._publishing.wake
        self._heartbeat = WorkerHeartbeat(
            cloud.database, self.link, self.presence_link, self._listener.lag_s, cloud.owner
        )

    def _of_providers(self, receipts: ThreadPool) -> list[Loop]:
        """Loops that ask and call providers; `ASKING` names those that end first."""
        database, clients, rules, clock = self._database, self._cloud.clients, self._cloud.rules, self._clock
        reconciler = Reconciler(database, clients, clock, self._patience.wait)
        restoring = RestoreFromLists(database, clients, rules, clock, self._patience.wait)
        return [
            self._loop("cashier", self._call_worker, outbox.topic(Lane.PROVIDER)),
            self._loop("openings", self._cloud.openings, openings.TOPIC),
            self._loop("recheck", self._poller, NEWS),
            self._loop("receipts", Registration(database, clients, receipts, jitter, clock), RECEIPTS),
            self._loop("credentials", Renewals(database), renewals.TOPIC),
            self._loop("reconcile", Nightly(database, reconciler)),
            self._loop("adoption", restoring, restore_from_lists.TOPIC),
        ]

    def _of_machines(self) -> list[Loop]:
        """Loops that hear machines, ask them, and give up waiting for them."""
        database, clock, link, owner = self._database, self._clock, self.link, self._cloud.owner
        presence = PresenceListener(database, self.presence_link, self._welcomes, owner, clock, self._cloud.counts)
        silence = Silence(database, self.presence_link, self._welcomes, owner)
        deadlines = Deadlines(database, self._cloud.rules, self._is_listening, self._lag_s, clock)
        return [
            self._loop("listener", self._listener, MQTT_IN),
            self._loop("presence", presence, PRESENCE_IN),
            self._loop("silence", silence),
            *(self._loop("reader", reader, reader_lease.TOPIC) for reader in self._readers),
            self._loop("prober", Prober(database, link, clock), probes.TOPIC),
            self._loop("jobs", JobSender(database, link, owner, clock), job_sender.TOPIC),
            self._loop("releases", Stager(database, self._cloud.settings.public_url, _new_id), rollouts.TOPIC),
            self._loop("deadlines", deadlines, DEADLINES),
            self._loop("heartbeat", self._heartbeat, HEARTBEAT),
        ]

    def _of_the_clock(self) -> list[Loop]:
        """Loops that only the clock wakes."""
        database = self._database
        return [
            self._loop("returns", ReturnFollowup(database)),
            self._loop("sales", SalesRollup(database)),
            self._loop("exports", ExportMaker(database, self._cloud.owner, self._clock), exports.TOPIC),
            self._loop("sealing", Sealing(database, _signer(self._cloud))),
            self._loop("forgetting", Forgetting(database)),
            self._loop("counts", OrderCounts(database)),
            self._loop("earned", EarnedBackfill(database)),
            self._loop("archiving", Archiving(database, timedelta(days=self._cloud.settings.archive_after_days))),
            self._loop("retention", Retention(database)),
            self._loop("counts", self._cloud.keeper),
        ]

    def _loop(self, name: str, steps: Steps, topic: str | None = None) -> Loop:
        return Loop(name, steps, self._wakeups, topic, self._clock)

    def _pool(self, name: str, slots: int, *topics: str) -> ThreadPool:
        """Make a pool; waiters for a slot are woken by `topics`."""
        return ThreadPool(name, slots, lambda: self._wakeups.wake(topics))

    def start(self) -> None:
        """Connect and begin. Alone on a SQLite file, whatever is held is held by the dead: it is taken up at once."""
        if self._cloud.database.is_sqlite:
            self._cloud.database.transact(outbox.free_all)
            self._cloud.database.transact(paying.ask_all_now, self._cloud.clock())
        if self._cloud.tmetr() is None:
            self._cloud.database.transact(nobody_is_online, self._cloud.clock())
        for link in self._links:
            link.start()
        self._heartbeat.step(self._clock())  # before its own alert loop looks for a living worker
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

    def _of_tmetr(self) -> list[Loop]:
        """The loops for machines without an agent; none when no Tmetr API is set up."""
        client = self._cloud.tmetr()
        if client is None:
            return []
        database, clock = self._database, self._clock
        commands, beats = outbox.topic(Lane.TMETR), "tmetr:heartbeat"
        makers, lookers = self._pool("tmetr", TMETR_SLOTS, commands), self._pool("tmetr-heartbeat", TMETR_SLOTS, beats)
        self._makers = [makers, lookers]
        sender = TmetrSender(database, client, self._cloud.rules, self._cloud.owner, makers, clock)
        return [
            self._loop("tmetr", sender, commands),
            self._loop("tmetr-heartbeat", TmetrHeartbeats(database, client, lookers, clock), beats),
        ]

    def _of_rights(self) -> list[Loop]:
        """Loops that set the broker's rights; none where a person decides them."""
        settings, owner = self._cloud.settings, self._cloud.owner
        if not settings.broker_rights:
            return []
        link = link_of(settings, client_id_of(f"{owner}-rights"),
                       lambda: self._wakeups.wake((broker_rights.TOPIC,)), [RESPONSE],
                       keeps_answers=False)  # fmt: skip
        self._links.append(link)
        vault = Vault(settings.secret_key, settings.old_secret_keys)
        rights = BrokerRights(self._database, link, vault, owner, link.user, self._clock)
        return [self._loop("rights", rights, broker_rights.TOPIC)]

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
        self._cloud.keeper.end()
        log.info("worker stopped", extra={"worker": self._cloud.owner})

    def _leave(self) -> None:
        try:
            for reader in self._readers:
                reader.end()
        except SQLAlchemyError as error:  # it ends by itself soon
            log.warning("the reader's lease could not be given back: %s", type(error).__name__)


def _new_id() -> str:
    return uuid.uuid4().hex


def _join(loops: Iterable[Loop], within_s: float) -> None:
    until = time.monotonic() + within_s
    for loop in loops:
        loop.join(max(0.0, until - time.monotonic()))


def _signer(cloud: Cloud) -> Signer:
    return Signer(cloud.settings.secret_key, cloud.settings.old_secret_keys)
