"""The running agent: builds the parts, gives each loop its thread, starts and stops them in order. Decides nothing."""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from random import SystemRandom
from typing import Any

import msgspec

from agent import AGENT_VERSION, folder_lock, health, readiness
from agent.clock import Bell, CloudClock, SystemClock
from agent.cloud.command_handler import Intake
from agent.cloud.dialling import Dialled
from agent.cloud.link import Link, Taker
from agent.health import Pulse
from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import Board
from agent.machine import profile_overrides
from agent.machine.driver import Driver
from agent.machine.frame_dump import Recorder
from agent.machine.profile import Profile
from agent.machine.serial_port import SerialLine
from agent.making.machine_events import Events
from agent.making.make_drink import Pouring
from agent.making.operator_jobs import Upkeep
from agent.making.unordered_drinks import Tally
from agent.making.worker import Worker
from agent.settings import Settings
from agent.status_file import StatusFile
from protocol.topics import Channel, topic

LOOK_EVERY_S = 10.0
"""How often the loops are watched."""
STATUS_EVERY_S = 1.0
"""How often the status is looked at; it is written only when it has changed."""
AFTER_ERROR_S = 1.0
FAILURES_ARE_TROUBLE = 3
"""In a row; then nothing is sold until the loop comes round again."""
TROUBLE = 300
"""Characters of it that are told."""
STOP_S = 1.5
"""How long a loop may finish its step; what it leaves is settled at the next start."""
log = logging.getLogger(__name__)


class Service:
    """One agent, from its lock file to its last goodbye."""

    def __init__(self, settings: Settings, profile: Profile, env: Mapping[str, str]) -> None:
        """Raises `folder_lock.AlreadyRunning`, `JournalFailed`, `OSError`."""
        self._settings = settings
        self._env = env
        self._stop: threading.Event | None = None
        self.is_to_restart = False
        """An operator asked for it: whoever called `run` shall start a new agent."""
        self._folder_lock = folder_lock.acquire(settings.state_dir)
        self._clock = clock = SystemClock()
        self._stopping = threading.Event()
        self._pulse = Pulse(clock)
        self._patience = health.patience(env)
        self._status_file = StatusFile(settings.state_dir, env)
        self._worker_bell, self._link_bell = Bell(), Bell()
        random = SystemRandom()
        self._cloud = cloud = CloudClock(clock)
        self._journal = Journal.open(settings.state_dir, clock, _new_id, cloud, self._link_bell)
        self._board = Board(self._link_bell)
        recorder = Recorder(settings.state_dir / "frames")
        base, profile = profile, profile_overrides.in_force(profile, settings.state_dir)
        self._line = SerialLine(
            settings.serial,
            profile,
            recorder=recorder,
            clock=clock,
            random=random,
            bell=self._worker_bell,
            beat=lambda: self._pulse.beat("serial"),
        )
        driver = Driver(self._line, profile, clock, random)
        pouring = Pouring(
            journal=self._journal,
            driver=driver,
            board=self._board,
            clock=clock,
            cloud=cloud,
            profile=profile,
            recorder=recorder,
            tally=Tally(profile.timers.unknown_deadline),
            started=clock.monotonic(),
            look=lambda: self._worker.look(),
        )
        self._worker = Worker(
            line=self._line,
            driver=driver,
            events=Events(self._journal, self._board, driver, profile),
            journal=self._journal,
            board=self._board,
            pouring=pouring,
            upkeep=Upkeep(
                driver=driver,
                board=self._board,
                clock=clock,
                cloud=cloud,
                profile=profile,
                base=base,
                sales_block=self._journal.sales_block,
                state_dir=settings.state_dir,
                restart=self._begin_anew,
            ),
            profile=profile,
            clock=clock,
            state_dir=settings.state_dir,
        )
        self._link = Link(
            device_uuid=settings.device_uuid,
            profile=profile.name,
            dial=self._dial,
            journal=self._journal,
            intake=Intake(self._journal, self._board, self._worker_bell),
            board=self._board,
            clock=clock,
            cloud=cloud,
            random=random,
            new_id=_new_id,
            worker_bell=self._worker_bell,
        )
        self._threads = {
            "worker": threading.Thread(
                target=self._loop,
                args=("worker", self._worker.step, self._worker_bell, self._worker.abandon),
                name="worker",
                daemon=True,
            ),
            "link": threading.Thread(
                target=self._loop, args=("link", self._link.step, self._link_bell, _nothing), name="link", daemon=True
            ),
        }

    def start(self) -> None:
        for name in ("serial", *self._threads):
            self._pulse.expect(name, self._patience)
        self._line.start()
        for thread in self._threads.values():
            thread.start()

    def run(self, stop: threading.Event) -> None:
        """Start, watch over the loops until `stop` is set, stop. Raises `JournalFailed` when only a new start helps."""
        log.info("agent %s for %s, session %s", AGENT_VERSION, self._settings.device_uuid, self._journal.session)
        interval = health.watchdog_interval(self._env) or LOOK_EVERY_S
        self._stop = stop
        try:
            self.start()
            health.notify(self._env, "READY=1")
            self._write_status(running=True)
            watch_at = self._clock.monotonic()
            while not stop.wait(min(interval, STATUS_EVERY_S)):
                if self._journal.is_damaged:
                    raise JournalFailed("the journal is damaged; the next start puts it aside")
                self._write_status(running=True)
                if (now := self._clock.monotonic()) >= watch_at:
                    watch_at = now + min(interval, LOOK_EVERY_S) - STATUS_EVERY_S / 2
                    self._watch()
        finally:
            if not self.is_to_restart:  # systemd would count the time until the last process is gone
                health.notify(self._env, "STOPPING=1")
            self.stop()

    def _begin_anew(self) -> None:
        self.is_to_restart = True
        if self._stop is not None:
            self._stop.set()

    def stop(self) -> None:
        """Begin nothing new, say goodbye to the broker, close port and journal. What is under way is settled later."""
        self._stopping.set()
        self._worker_bell.ring()
        self._link_bell.ring()
        for thread in self._threads.values():
            if thread.is_alive():
                thread.join(STOP_S)
        self._link.stop()
        self._line.stop()
        self._end_memory()
        self._journal.close()
        self._write_status(running=False)
        self._folder_lock.close()
        log.info("stopped")

    def _end_memory(self) -> None:
        """Until now every command that came is in the journal."""
        try:
            self._journal.memory.keep(at_the_end=True)
        except JournalFailed as failed:
            log.warning("the end of this run is not written down: %s", failed)

    def _loop(
        self, name: str, step: Callable[[float], float], bell: Bell, abandon: Callable[[Exception], None]
    ) -> None:
        failures = 0
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            try:
                wake = step(now)
                self._pulse.beat(name)
                if failures:
                    failures = 0
                    self._board.trouble(name, "")
            except Exception as error:
                # A loop that dies leaves orders open for ever; what it was doing is settled by asking the machine.
                log.exception("the %s loop met an error", name)
                abandon(error)
                failures += 1
                if failures >= FAILURES_ARE_TROUBLE:
                    self._board.trouble(name, f"the agent's {name} fails: {type(error).__name__}: {error}"[:TROUBLE])
                wake = now + AFTER_ERROR_S
                self._stopping.wait(AFTER_ERROR_S)
            bell.wait(wake - self._clock.monotonic())

    def _watch(self) -> None:
        stale = self._pulse.stale()
        if stale:
            log.error("no progress: %s", ", ".join(stale))
        else:
            health.notify(self._env, "WATCHDOG=1")

    def _write_status(self, *, running: bool) -> None:
        view = self._board.view
        status: dict[str, Any] = {
            "running": running,
            "pid": os.getpid(),
            "agent_version": AGENT_VERSION,
            "device_uuid": self._settings.device_uuid,
            "broker": "connected" if self._link.is_connected else "not connected",
            "line": view.link,
            "machine": view.machine,
            "selling": running and not view.stopped,
            "reason": view.stopped,
            "refuses": readiness.refusal(view, ""),
            "busy_order": view.busy_order,
            "faults": sorted(view.faults),
            "counters": msgspec.to_builtins(view.counters),
        }
        at = self._clock.wall().isoformat(timespec="seconds")
        self._status_file.tell(status, at, self._clock.monotonic())

    def _dial(self, mqtt5: bool, will: bytes, take: Taker) -> Dialled:
        name = self._settings.device_uuid
        return Dialled(
            self._settings.broker,
            name,
            mqtt5=mqtt5,
            subscriptions=[topic(name, Channel.COMMAND), topic(name, Channel.RECEIPT)],
            will=(topic(name, Channel.PRESENCE), will),
            on_message=take,
            on_change=self._link_bell.ring,
            pulse=self._pulse,
            patience=self._patience,
        )


def _new_id() -> str:
    return secrets.token_hex(6)


def _nothing(_: Exception) -> None:
    pass
