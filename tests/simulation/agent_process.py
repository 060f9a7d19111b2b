"""The real agent in a world: journal, command handler, link, worker and driver as they are, stepped by the scheduler.

Built as `agent.service.Service` builds them; only its threads, its port and its clocks are replaced.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from sqlite3 import Connection, OperationalError

from agent.clock import Bell, CloudClock
from agent.cloud.command_handler import CommandHandler
from agent.cloud.link import Link
from agent.cloud.mqtt import Connection as BrokerConnection
from agent.cloud.wire import Receive
from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed, SqliteFile
from agent.live_state import LiveState
from agent.machine.driver import Driver
from agent.machine.frame_dump import FrameDump
from agent.machine.profile import Profile
from agent.making.build import Surroundings, build_machine_side
from agent.settings import BrokerAddress
from protocol.topics import Channel, topic
from tests.simulation.here import here
from tests.simulation.machine import Machine
from tests.simulation.scheduler import BIRTH, Killed, Process, Scheduler
from tests.simulation.timeline import Timeline

IDLE_S = 30.0
"""A loop that waits for nothing comes round this often, unless something rings. The real one does so each second."""
AFTER_ERROR_S = 1.0
AGENT_IDS = 100_000
log = logging.getLogger("agent.loop")


@dataclass
class AgentClock:
    """The clocks of one computer: the wall clock may be wrong and jump, the steady one begins anew with the power."""

    scheduler: Scheduler
    wall_off: float = 0.0
    on_since: float = -1000.0

    def wall(self) -> datetime:
        return BIRTH + timedelta(seconds=self.scheduler.now + self.wall_off)

    def monotonic(self) -> float:
        return self.scheduler.now - self.on_since


class _Bell(Bell):
    """Steps a loop at once instead of waking a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.on_ring: Callable[[], None] = lambda: None

    def ring(self) -> None:
        self.on_ring()


class AgentProcess:
    """One device's agent: dies, and is started again on the same folder."""

    def __init__(
        self, device: str, machine: Machine, folder: Path, profile: Profile, scheduler: Scheduler, timeline: Timeline,
        seed: int, mqtt5: bool,
    ) -> None:  # fmt: skip
        self.device = device
        self.name = f"agent {device}"
        self.machine = machine
        self.clock = AgentClock(scheduler)
        self.process = Process(self.name, alive=False)
        self.on_tamper: Callable[[], None] = lambda: None
        self._folder = folder
        self._copy = folder.with_name(f"{folder.name}-copy")
        self.folder_exchanged_at: float | None = None
        """It was exchanged, and what the cloud was told before it does not know."""
        self._profile = profile
        self._scheduler = scheduler
        self._timeline = timeline
        self._random = Random(f"{seed}/{device}/agent")
        self._mqtt5 = mqtt5
        self._ids = iter(range(1, AGENT_IDS))

    def start(self) -> None:
        """A new process; everything but the folder is gone. It may die while it starts."""
        self._timeline.add(self.process.name, "starts")
        self.process.alive = True
        self.process.at_death = lambda: None
        self._wake: dict[str, float] = {}
        self.is_built = False
        self._scheduler.at(self._scheduler.now, self._begin, self.process, 0)

    def _begin(self) -> None:
        try:
            self._build()
        except JournalFailed as failed:
            raise Killed(f"it cannot start: {failed}") from None

    def _build(self) -> None:
        worker_bell, link_bell = _Bell(), _Bell()
        clock, profile = self.clock, self._profile
        cloud = self.cloud_clock = CloudClock(clock)
        self.journal = Journal.open(self._folder, self.device, clock, self._new_id, cloud, link_bell)
        self.process.at_death = self._close_files
        self._watch_commits()
        self.live_state = live_state = LiveState(link_bell)
        driver = Driver(self.machine.line, profile, clock, self._random)
        frame_dump = FrameDump(self._folder / "frames")
        built = build_machine_side(Surroundings(
            line=self.machine.line, driver=driver, journal=self.journal, live_state=live_state, clock=clock,
            cloud=cloud, profile=profile, base_profile=profile, frame_dump=frame_dump, state_dir=self._folder,
            restart=lambda: None,
        ))  # fmt: skip
        self.worker, self._checks, self._driver = built.worker, built.checks, driver
        self.link = Link(
            device_uuid=self.device, profile=profile.name, dial=self._dial, journal=self.journal,
            command_handler=CommandHandler(self.journal, live_state, worker_bell), live_state=live_state,
            clock=clock, cloud=cloud, random=self._random, new_id=self._new_id, worker_bell=worker_bell,
        )  # fmt: skip
        worker_bell.on_ring = lambda: self._soon("worker")
        link_bell.on_ring = lambda: self._soon("link")
        self.machine.line.open_for(self.process, lambda: self._soon("worker"))
        self.is_built = True
        self._soon("worker")
        self._soon("link")

    @property
    def is_settled(self) -> bool:
        """Nothing is being made, nothing waits to be told."""
        if not self.process.alive or not self.is_built:
            return False
        busy = self.live_state.view.busy_order or self.journal.unsettled() or self.journal.received()
        return not busy and self.journal.report_queue.count() == 0

    def _dial(self, mqtt5: bool, will: bytes, receive: Receive) -> BrokerConnection:
        return BrokerConnection(
            BrokerAddress("broker.example.org", 1883, False, None, None, None, None, None), self.device,
            mqtt5=mqtt5 and self._mqtt5,
            subscriptions=[topic(self.device, Channel.COMMAND), topic(self.device, Channel.RECEIPT)],
            will=(topic(self.device, Channel.PRESENCE), will), on_message=receive, on_change=lambda: self._soon("link"),
        )  # fmt: skip

    # Its folder

    def wipe_folder(self) -> None:
        """A new card. Only while it is dead."""
        self._timeline.add(self.process.name, "its folder is gone")
        self.folder_exchanged_at = self._scheduler.now
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def copy_folder(self) -> None:
        """As a backup does, at any moment."""
        if self.process.alive and self.is_built:
            self._timeline.add(self.process.name, "its folder is copied")
            shutil.rmtree(self._copy, ignore_errors=True)
            shutil.copytree(self._folder, self._copy)

    def put_folder_back(self) -> None:
        """What it was when it was copied. Only while it is dead."""
        if self._copy.exists():
            self._timeline.add(self.process.name, "an older copy of its folder is put back")
            self.folder_exchanged_at = self._scheduler.now
            shutil.rmtree(self._folder)
            shutil.copytree(self._copy, self._folder)

    def remove_folders(self) -> None:
        for folder in (self._folder, self._copy):
            shutil.rmtree(folder, ignore_errors=True)

    # Its loops

    def _soon(self, name: str) -> None:
        self._step_at(name, self._scheduler.now)

    def _step_at(self, name: str, when: float) -> None:
        if when < self._wake.get(name, float("inf")):
            self._wake[name] = when
            self._scheduler.at(when, lambda: self._due(name, when), self.process, 60 if name == "worker" else 61)

    def _due(self, name: str, when: float) -> None:
        if self._wake.get(name) == when:
            del self._wake[name]
            self._step(name)

    def _step(self, name: str) -> None:
        loop = self.worker.step if name == "worker" else self.link.step
        now = self.clock.monotonic()
        try:
            wake = loop(now)
        except Exception:  # as the service's loop does: what it was doing is settled by asking the machine
            log.exception("the %s loop met an error", name)
            if name == "worker":
                self.worker.abandon()
            wake = now + AFTER_ERROR_S
        wait = wake - now
        if wait >= 1.0 and self._has_time(name):
            wait = self._until_a_duty(now) if name == "worker" else IDLE_S
        self._step_at(name, self._scheduler.now + max(wait, 0.001))

    def _until_a_duty(self, now: float) -> float:
        """A machine that says nothing by itself is asked as often as in truth, else it would count as silent."""
        return min(IDLE_S, max(1.0, self._checks.next_at() - now))

    def _has_time(self, name: str) -> bool:
        """It would only look round."""
        if name == "worker":
            return self.worker.is_idle and self._driver.is_greeted
        return self.link.is_connected and self.journal.report_queue.count() == 0 and self.link.is_welcome

    # Its end

    def _watch_commits(self) -> None:
        """It may die right before a commit of its journal, or right after."""
        database = self.journal._database
        original = database.transaction

        @contextmanager
        def write() -> Iterator[Connection]:
            with original() as connection:
                yield connection
                if database._depth == 1:
                    self.process.die_here("before a commit of its journal")
                    if here().faults.strikes("journal.fails"):
                        raise OperationalError("database or disk is full")
            if database._depth == 0:
                self.process.die_here("after a commit of its journal")

        database.transaction = write  # type: ignore[method-assign]  # the only seam at which a kill can be placed exactly
        self.journal.transaction = write

    def _close_files(self) -> None:
        self.journal.close()
        self.machine.line.hang_up()
        here().cut_lines_of(self.process)

    def _new_id(self) -> str:
        return f"{self.device}-id{next(self._ids)}"


def make_journal(folder: Path) -> Path:
    """An empty journal, to be copied into each world."""
    SqliteFile.open(folder, BIRTH).close()
    return folder


def copy_journal(template: Path, folder: Path) -> None:
    shutil.copytree(template, folder)
