"""The real cloud in a world: `Worker`, `Checkout`, the webhook's store, on a database whose commits can be the last.

Only the shells are replaced: a loop's thread by the scheduler, a hand of a pool by a task that sleeps in virtual time.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from cloud.background.loops import AFTER_ERROR_S, Clock, Steps, ThreadPool
from cloud.database.database import Database
from cloud.database.group_commit import MAX_GROUP, GroupCommit, Piece
from cloud.database.wakeup import Waiter, Wakeups
from cloud.fleet.vault import Vault
from cloud.orders import making
from cloud.orders.after_restore import begin_restores
from cloud.orders.scanning import Scan, open_order
from cloud.payments import inbox, openings
from cloud.payments.checkout import Checkout
from cloud.payments.inbox import Reception
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.rate import TokenBucket
from cloud.payments.yookassa.client import YooKassaClient
from cloud.payments.yookassa.notification import parse_notification
from cloud.processes.worker import Worker
from cloud.settings import Settings
from cloud.wiring import Cloud, rules_of
from tests.simulation.here import here
from tests.simulation.scheduler import BIRTH, Killed, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

SECRET_KEY = "a secret text of more than thirty-two characters"
POLL_S = 1.0
WAKES_WITHIN_S = 0.05
"""A process comes at most so long after a moment it waits for, each by another blink; the real one within a second."""
LONG_POLL_S = 600.0
"""A loop that has nothing due comes round this often; the real one each second, and finds as little."""
ARCHIVISTS, ARCHIVISTS_POLL_S = frozenset({"archiving", "sales", "counts"}), 60.0
"""Where orders are archived early these come round more often."""
RESTING = frozenset({"heartbeat", "reconcile", "receipts", "prober", "credentials", "reader"})
RESTING |= {"earned", "notify", "alerts", "usual-weeks", "summaries"}
"""Loops that no world needs: no payment is older than its columns, nobody asks whether workers live, nothing is fiscal,
no machine is probed, nobody is alerted, and each worker hears all that machines say of themselves."""
READS_LISTS = "adoption"
"""Reads the provider's lists after a restore. It waits for each answer in its own thread, so it steps as a task."""
PUNCTUAL = frozenset({"openings", READS_LISTS})
"""Loops whose work no row of the database tells: stepped when they asked to be."""
CALL_SLOTS = 4
log = logging.getLogger("cloud.background.loops")


class CloudProcess:
    """One process of the cloud: web, worker, or both. Dies, and is started again."""

    def __init__(self, world: "World", name: str, *, has_web: bool, has_worker: bool) -> None:
        self.process = Process(name, alive=False)
        self.has_web, self.has_worker = has_web, has_worker
        self.loops: list[WorldLoop] = []
        self._world = world
        self._random = Random(f"{world.seed}/{name}")
        self.wakes_after_s = Random(f"{world.seed}/{name}/wakes").uniform(0.0005, WAKES_WITHIN_S)
        self._starts = 0
        self._vault = world.vault
        self.worker: Worker | None = None
        self.is_open = False
        """It answers the web."""

    def start(self) -> None:
        """As `coffee-cloud run`, `web` or `worker` starts; it may die while it does."""
        self._starts += 1
        self._world.timeline.add(self.process.name, "starts")
        self.process.alive = True
        self.process.at_death = lambda: None
        self._world.scheduler.at(self._world.scheduler.now, self._begin, self.process, 0)

    def _begin(self) -> None:
        try:
            self._build()
        except OperationalError:
            raise Killed("the database is away") from None

    def _build(self) -> None:
        world = self._world
        world.engines.owner = self.process
        self.loops, self.worker = [], None
        self.is_open = False
        database = self.database = Database(world.disk.url)
        self.process.at_death = self._close_connections
        if world.has_several_workers:
            database.is_sqlite = False  # as on PostgreSQL: who starts must not end the others' leases
        self._carry_wakeups(database.wakeups)
        settings = Settings(
            SECRET_KEY, database_url=world.disk.url, public_url="https://coffee.example.org",
            archive_after_days=(world.mix.archive_after_s or 0.0) / 86400,
        )  # fmt: skip
        shops = ProviderClients(database, self._vault, self._connect, self.clock)
        shops.admission.pause = world.scheduler.sleep
        owner = f"{self.process.name}-{self._starts}"
        self.cloud = Cloud(settings, database, world.rules, shops, owner, self.clock)
        while not database.transact(begin_restores, world.rules, self.clock()):
            pass
        if self.has_worker:
            self.worker = Worker(self.cloud)
            self.worker.presence_link.read_alone(True)
            self.worker.start()
        else:
            WorldLoop("openings", self.cloud.openings, database.wakeups, openings.TOPIC, self.clock).start()
        call_worker = self.cloud.call_worker(ThreadPool("checkout", 0))
        self.checkout = Checkout(database, shops, call_worker, self.clock, world.new_payment_id)
        self.is_open = True

    def clock(self) -> datetime:
        """This computer's wall clock."""
        return BIRTH + timedelta(seconds=self._world.scheduler.now + self.process.skew)

    def jitter(self) -> float:
        return self._random.random()

    # What arrives at its door

    def scan(self, scan: Scan) -> str:
        return self.database.transact(open_order, scan, "ru", self._world.rules, self.clock()).id

    def pay(self, order_id: str) -> str:
        """The payment page's address. Raises `checkout.Refusal`."""
        return self.checkout.pay(order_id)

    def pour_now(self, order_id: str) -> None:
        self.database.transact(making.pour_now, order_id, "buyer", self._world.rules, self.clock())

    def notified(self, body: bytes) -> int:
        """The webhook's answer to a notification from a believable address."""
        try:
            reception = inbox.take_in(self.database, parse_notification(body), self.clock())
        except OperationalError:
            return 503
        return 503 if reception is Reception.NO_ROOM else 200

    # Within

    def _connect(self, shop: Shop, _scenario: str) -> Provider:
        per_second = 2.0 if self._world.mix.open_pages else 5.0
        return YooKassaClient(
            shop, "https://api.example.org/v3", user_agent="coffee-relay/world", bucket=TokenBucket(per_second, 10.0),
            clock=lambda: self._world.scheduler.now,
        )  # fmt: skip

    def _carry_wakeups(self, wakeups: Wakeups) -> None:
        """What this process commits wakes the others, too; a wake-up may be lost."""
        wake = wakeups.wake

        def wake_everywhere(topics: Any) -> None:
            named = sorted(topics)
            wake(named)
            if named:
                self._world.carry_wakeups(self, named)

        wakeups.wake = wake_everywhere  # type: ignore[method-assign]  # NOTIFY, and LISTEN in the others

    def _close_connections(self) -> None:
        self.is_open = False
        self.database.close()
        self._world.cut_lines_of(self.process)


class WorldLoop:
    """Stands in for `cloud.background.loops.Loop`: steps when woken, when something is due, and now and then."""

    def __init__(self, name: str, steps: Steps, wakeups: Wakeups, topic: str | None, clock: Clock) -> None:
        world = here()
        self.name = name
        self.process = world.process
        self._world = world
        self._steps = steps
        self._clock = clock
        self._is_started = self._is_stepping = False
        archives = world.mix.archive_after_s is not None
        self._rests = name in RESTING or (name == "archiving" and not archives)
        self._wakes_after_s = world.cloud_of(self.process).wakes_after_s
        self._pause_s = ARCHIVISTS_POLL_S if archives and name in ARCHIVISTS else LONG_POLL_S
        self._planned = float("inf")
        self._rank = 10 + len(world.cloud_of(self.process).loops)
        world.cloud_of(self.process).loops.append(self)
        if topic is not None:
            wakeups.admit(_LoopWaiter(wakeups, topic, self.wake))

    def start(self) -> None:
        self._is_started = True
        if not self._rests:
            self._plan(self._world.scheduler.now)

    def wake(self) -> None:
        if self._is_started and not self._rests:
            self._plan(self._world.scheduler.now)

    def expect(self, due: datetime | None) -> None:
        """What this loop looks for is due then, by its own clock."""
        if due is None or not self._is_started or self._rests:
            return
        when = (due - BIRTH).total_seconds() - self.process.skew
        now = self._world.scheduler.now
        self._plan(when + self._wakes_after_s if when > now else now + POLL_S)

    def _plan(self, when: float) -> None:
        if when < self._planned:
            self._planned = when
            self._world.scheduler.at(when, lambda: self._due(when), self.process, self._rank)

    def _due(self, when: float) -> None:
        if self._planned != when:
            return
        self._planned = float("inf")
        if self._is_stepping:
            self._plan(when + POLL_S)
        elif self.name == READS_LISTS:
            self._world.scheduler.spawn(self.process, self._step)
        else:
            self._step()

    def _step(self) -> None:
        self._is_stepping = True
        try:
            wake_at = self._steps.step(self._clock())
        except Exception:  # as the real loop does
            log.exception("%s: a step failed", self.name)
            self._plan(self._world.scheduler.now + AFTER_ERROR_S)
            return
        finally:
            self._is_stepping = False
        now = self._world.scheduler.now
        self._plan(now if wake_at <= self._clock() else now + self._pause_s)
        self.expect(wake_at if self.name in PUNCTUAL else self._world.due.of(self.name))


class _LoopWaiter(Waiter):
    """Steps a loop at once instead of waking its thread."""

    def __init__(self, wakeups: Wakeups, topic: str, on_wake: Callable[[], None]) -> None:
        super().__init__(wakeups, topic)
        self._on_wake = on_wake

    def wake(self) -> None:
        self._on_wake()


class WorldThreadPool(ThreadPool):
    """Stands in for `cloud.background.loops.ThreadPool`: a thread is a task that sleeps while the provider thinks."""

    def __init__(self, name: str, size: int, freed: Callable[[], None] = lambda: None) -> None:
        super().__init__(name, 0, freed)
        self._world = here()
        self._process = self._world.process
        self._size = min(size, CALL_SLOTS)

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._busy += 1
        self._world.scheduler.spawn(self._process, lambda: self._run(work))


class WorldPatience:
    """Stands in for `Patience`: waits between questions in virtual time."""

    def __init__(self) -> None:
        self._scheduler = here().scheduler

    def wait(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def end(self) -> None:
        """Only the dead are ended here."""


class WorldDeferredWrites:
    """Stands in for `DeferredWrites`: writes when the patience is over, or when somebody waits for an end."""

    def __init__(self, group: GroupCommit, patience_s: float) -> None:
        self._world = here()
        self._group = group
        self._patience_s = patience_s
        self._pieces: list[Piece[Any]] = []

    def add(self, piece: Piece[Any]) -> None:
        end = piece.future.result

        def result(timeout: float | None = None) -> Any:
            self._write()
            return end(timeout)

        piece.future.result = result  # type: ignore[method-assign]  # nobody else could write it meanwhile
        self._pieces.append(piece)
        if len(self._pieces) == 1:
            world = self._world
            world.scheduler.at(world.scheduler.now + self._patience_s, self._write, world.process, 0)

    def close(self) -> None:
        """Only the dead are closed here: what they had put by is lost."""

    def _write(self) -> None:
        pieces, self._pieces = self._pieces, []
        for start in range(0, len(pieces), MAX_GROUP):
            self._group.transact_all(pieces[start : start + MAX_GROUP])


def world_rules() -> Any:
    """The limits every world lives by: the defaults."""
    return rules_of(Settings(SECRET_KEY))


def world_vault() -> Vault:
    return Vault(SECRET_KEY)
