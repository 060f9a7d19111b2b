"""The running agent: builds the parts, gives each loop its thread, starts and stops them in order. Decides nothing."""

import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from random import SystemRandom
from typing import Any

import msgspec

from agent import AGENT_VERSION, folder_lock, health, refusal
from agent.clock import Bell, CloudClock, SystemClock
from agent.cloud.command_handler import CommandHandler
from agent.cloud.dialling import Dialled
from agent.cloud.link import Link
from agent.cloud.wire import Receive
from agent.health import Pulse
from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import LiveState
from agent.loop import Loop
from agent.machine import profile_overrides
from agent.machine.driver import Driver
from agent.machine.frame_dump import FrameDump
from agent.machine.profile import Profile
from agent.machine.serial_port import SerialLine
from agent.making.build import Surroundings, build_machine_side
from agent.making.worker import Worker
from agent.settings import Settings
from agent.status_file import StatusFile
from agent.update.probation import Probation
from agent.update.updater import Updater
from protocol.topics import Channel, topic

LOOK_EVERY_S = 10.0
"""How often the loops are watched."""
STATUS_EVERY_S = 1.0
"""How often the status is looked at; it is written only when it has changed."""
STOP_S = 1.5
"""How long a loop may finish its step; what it leaves is settled at the next start."""
log = logging.getLogger(__name__)


class Service:
    """One agent, from its lock file to its last goodbye."""

    def __init__(self, settings: Settings, profile: Profile, env: Mapping[str, str]) -> None:
        """Raises `folder_lock.AlreadyRunning`, `JournalFailed`, `OSError`."""
        self._settings = settings
        self._brokers = deque([settings.broker, *settings.other_brokers])
        """The first is dialled next."""
        self._dialled: Dialled | None = None
        self._env = env
        self._stop: threading.Event | None = None
        self.is_to_restart = False
        """An operator asked for it: the caller of `run` is to start a new agent."""
        self._folder_lock = folder_lock.acquire(settings.state_dir)
        self._clock = SystemClock()
        self._cloud = CloudClock(self._clock)
        self._random = SystemRandom()
        self._stopping = threading.Event()
        self._pulse = Pulse(self._clock)
        self._patience = health.patience(env)
        self._status_file = StatusFile(settings.state_dir, env)
        self._worker_bell, self._link_bell = Bell(), Bell()
        self._journal = Journal.open(
            settings.state_dir, settings.device_uuid, self._clock, _new_id, self._cloud, self._link_bell
        )
        self._live_state = LiveState(self._link_bell)
        profile_overrides.belong_to(settings.state_dir, settings.device_uuid, self._journal.was_of)
        in_force = profile_overrides.in_force(profile, settings.state_dir, settings.device_uuid)
        self._set_from_afar = profile_overrides.differences(profile, in_force)
        self._updater = Updater(
            settings.state_dir, settings.device_uuid, settings.release_keys,
            (settings.cloud_ca_file, settings.broker.ca_file), self._clock, self._live_state, self._worker_bell.ring,
        )  # fmt: skip
        self._probation = Probation.begin(settings.state_dir, self._clock, self._live_state)
        self._line, self._worker = self._build_machine_side(profile, in_force)
        self._link = self._build_link(in_force.name)
        self._loops = self._build_loops()

    def _build_machine_side(self, base: Profile, profile: Profile) -> tuple[SerialLine, Worker]:
        frame_dump = FrameDump(self._settings.state_dir / "frames")
        line = SerialLine(
            self._settings.serial,
            profile,
            frame_dump=frame_dump,
            clock=self._clock,
            random=self._random,
            bell=self._worker_bell,
            beat=lambda: self._pulse.beat("serial"),
        )
        surroundings = Surroundings(
            line=line,
            driver=Driver(line, profile, self._clock, self._random),
            journal=self._journal,
            live_state=self._live_state,
            clock=self._clock,
            cloud=self._cloud,
            profile=profile,
            base_profile=base,
            frame_dump=frame_dump,
            state_dir=self._settings.state_dir,
            restart=self._begin_anew,
            updater=self._updater,
        )
        return line, build_machine_side(surroundings).worker

    def _build_link(self, profile_name: str) -> Link:
        return Link(
            device_uuid=self._settings.device_uuid,
            profile=profile_name,
            dial=self._dial,
            journal=self._journal,
            command_handler=CommandHandler(self._journal, self._live_state, self._worker_bell),
            live_state=self._live_state,
            clock=self._clock,
            cloud=self._cloud,
            random=self._random,
            new_id=_new_id,
            worker_bell=self._worker_bell,
        )

    def _build_loops(self) -> list[Loop]:
        shared = (self._stopping, self._clock, self._pulse, self._live_state)
        return [
            Loop("worker", self._worker.step, self._worker_bell, *shared, abandon=self._worker.abandon),
            Loop("link", self._link.step, self._link_bell, *shared),
        ]

    def start(self) -> None:
        for name in ("serial", *(loop.name for loop in self._loops)):
            self._pulse.expect(name, self._patience)
        self._line.start()
        for loop in self._loops:
            loop.thread.start()

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
                if self._probation.look(is_connected=self._link.is_connected, is_welcome=self._link.is_welcome):
                    self._begin_anew()
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
        self._updater.stop()
        for loop in self._loops:
            loop.bell.ring()
        for loop in self._loops:
            loop.join(STOP_S)
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
            self._journal.memory.keep_run(at_the_end=True)
        except JournalFailed as failed:
            log.warning("the end of this run is not written down: %s", failed)

    def _watch(self) -> None:
        stale = self._pulse.stale()
        if stale:
            log.error("no progress: %s", ", ".join(stale))
        else:
            health.notify(self._env, "WATCHDOG=1")

    def _write_status(self, *, running: bool) -> None:
        view = self._live_state.view
        status: dict[str, Any] = {
            "running": running,
            "pid": os.getpid(),
            "agent_version": AGENT_VERSION,
            "device_uuid": self._settings.device_uuid,
            "broker": "connected" if self._link.is_connected else "not connected",
            "broker_trouble": self._broker_trouble(),
            "cloud": "answers" if self._link.is_connected and self._link.is_welcome else "does not answer",
            "line": view.link,
            "machine": view.machine,
            "selling": running and not view.stopped,
            "reason": view.stopped,
            "refuses": refusal.refusal_code(view, ""),
            "busy_order": view.busy_order,
            "faults": sorted(view.faults),
            "counters": msgspec.to_builtins(view.counters),
            "set_from_afar": self._set_from_afar,
        }
        at = self._clock.wall().isoformat(timespec="seconds")
        self._status_file.write_if_changed(status, at, self._clock.monotonic())

    def _broker_trouble(self) -> str:
        """Why we are not connected, as far as it is known."""
        if self._link.is_connected:
            return ""
        return self._link.trouble or (self._dialled.why_lost if self._dialled is not None else "")

    def _dial(self, mqtt5: bool, will: bytes, receive: Receive) -> Dialled:
        name = self._settings.device_uuid
        if self._dialled is not None and not self._dialled.was_ready:
            self._brokers.rotate(-1)
        self._dialled = Dialled(
            self._brokers[0],
            name,
            mqtt5=mqtt5,
            subscriptions=[topic(name, Channel.COMMAND), topic(name, Channel.RECEIPT)],
            will=(topic(name, Channel.PRESENCE), will),
            on_message=receive,
            on_change=self._link_bell.ring,
            pulse=self._pulse,
            patience=self._patience,
        )
        return self._dialled


def _new_id() -> str:
    return secrets.token_hex(6)
