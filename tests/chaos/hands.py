"""Does the deeds to the real programs, machines and provider, and undoes them when their time is over."""

import heapq
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from agent.journal import operator_decisions
from simulator.machine import STANDARD_MENU, Setting, When
from simulator.machine.jobs import Sale
from tests.chaos.deeds import BROKER, NOTIFICATIONS, PROVIDER, Deed, Kind, agent_of
from tests.chaos.provider_desk import ProviderDesk
from tests.chaos.timeline import Timeline, utc_now
from tests.system.restartable import Restartable
from tests.system.world import World

_PAUSE = 'kill -s STOP -- "-$1" && sleep "$2"; kill -s CONT -- "-$1"'
"""In a process of its own, so that nobody stays stopped should the campaign itself be killed."""
CHAOS = "chaos"
NO_DEDUP_EVERY = 3
"""So many machines apart, one pours a second drink for a repeated order: its agent must never repeat itself."""
Undo = Callable[[], None]


@dataclass
class Done:
    """What the hands have done, for who judges."""

    counts: Counter[Kind] = field(default_factory=Counter)
    of_kind: Counter[str] = field(default_factory=Counter)
    """Killed and paused, by `web`, `worker`, `agent`."""
    unknowable: set[str] = field(default_factory=set)
    """Orders whose cup was full when the machine lost power before it had noted so: no machine could tell."""
    pauses: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    """Of agents, by machine: a stopped program cannot look at the clock between its decision and its act."""


class Hands:
    """For one world. `memory` is the broker's file of sessions and messages."""

    def __init__(self, world: World, memory: Path, timeline: Timeline) -> None:
        self.done = Done()
        self._world = world
        self._memory = memory
        self._timeline = timeline
        self._desk = ProviderDesk(world.provider.address)
        self._pausing: list[subprocess.Popen[bytes]] = []
        webs = {f"web {number}": web for number, web in enumerate(world.webs)}
        workers = {f"worker {number}": worker for number, worker in enumerate(world.workers)}
        agents = {agent_of(name): agent for name, agent in world.agents.items()}
        self._programs: dict[str, Restartable] = {**webs, **workers, **agents}
        self._take_dedup_away()

    def carry_out(self, deeds: Sequence[Deed], stop: threading.Event) -> None:
        """Each in its time; returns after the last is undone, or when told to stop."""
        began = time.monotonic()
        agenda: list[tuple[float, int, Deed, Undo | None]] = [
            (deed.at, number, deed, None) for number, deed in enumerate(deeds)
        ]
        heapq.heapify(agenda)
        while agenda and not stop.is_set():
            at, number, deed, undo = heapq.heappop(agenda)
            stop.wait(max(0.0, began + at - time.monotonic()))
            if stop.is_set():
                break
            if undo is not None:
                undo()
                continue
            undo = self.do(deed)
            if undo is not None:
                heapq.heappush(agenda, (deed.at + deed.lasts, number, deed, undo))

    def do(self, deed: Deed) -> Undo | None:
        """Do it now; how to undo it, if it lasts."""
        self.done.counts[deed.kind] += 1
        match deed.kind:
            case Kind.KILL | Kind.CLOUD_KILLED:
                return self._kill(deed)
            case Kind.PAUSE:
                return self._pause(deed)
            case Kind.POWER_CUT | Kind.PLACE_DARK:
                undo = self._kill(deed) if deed.kind is Kind.PLACE_DARK else None
                self._cut_power(deed.whom[0])
                return undo
            case Kind.UNPLUGGED | Kind.SILENT | Kind.NO_WATER:
                return self._switch(deed)
            case Kind.BROKER_KILLED | Kind.BROKER_FORGETS:
                return self._kill_broker(deed)
            case Kind.PROVIDER_FAULT | Kind.PROVIDER_GONE | Kind.NEWS_SPOILED:
                return self._trouble_provider(deed)
            case Kind.FORGERY:
                self._forge(deed)
            case Kind.TEST_DRINK:
                drink = Random(deed.draw).choice(list(STANDARD_MENU))
                made = self._world.machines[deed.whom[0]].controls.local_drink(drink, Sale.TEST)
                self._timeline.tell(CHAOS, f"{deed.whom[0]}: a test drink {'is made' if made else 'is refused'}")
            case Kind.TECHNICIAN:
                self._visit(deed.whom)
        return None

    def mend(self) -> None:
        """Everything runs again, nothing is switched any more. Does not wait until it works."""
        self.resume()
        world = self._world
        if not world.broker.is_running:
            world.broker.start()
        world.gate.open()
        self._desk.mend()
        self._desk.mend_notifications()
        for machine in world.machines.values():
            machine.controls.switch_all_off()
        self._take_dedup_away()
        for name, program in self._programs.items():
            self._start(name, program)
        self._visit(world.devices)

    def resume(self) -> None:
        """Nobody is stopped any more."""
        for pause in self._pausing:
            pause.kill()
            pause.wait()
        self._pausing.clear()
        for program in self._programs.values():
            if program.pid:
                os.killpg(program.pid, signal.SIGCONT)

    def _take_dedup_away(self) -> None:
        for name in self._world.devices[::NO_DEDUP_EVERY]:
            self._world.machines[name].controls.switch_on("without_dedup")

    # What befalls programs

    def _kill(self, deed: Deed) -> Undo:
        fallen = {name: self._programs[name] for name in deed.whom if name in self._programs}
        self._timeline.tell(CHAOS, f"{', '.join(fallen)}: {deed.kind}, back in {deed.lasts:.1f} s")
        for name, program in fallen.items():
            if program.pid:
                program.kill()
            self.done.of_kind[f"{name.split()[0]} killed"] += 1

        def start() -> None:
            for name, program in fallen.items():
                self._start(name, program)

        return start

    def _start(self, name: str, program: Restartable) -> None:
        if not program.pid:
            program.start()
            self._timeline.tell(CHAOS, f"{name}: started again")

    def _pause(self, deed: Deed) -> Undo | None:
        (name,) = deed.whom
        pid = self._programs[name].pid
        if not pid:
            self._timeline.tell(CHAOS, f"{name}: to be paused, but it does not run")
            return None
        self._timeline.tell(CHAOS, f"{name}: {deed.kind} for {deed.lasts:.1f} s")
        self.done.of_kind[f"{name.split()[0]} paused"] += 1
        since = utc_now()
        words = ["/bin/sh", "-c", _PAUSE, "pause", str(pid), f"{deed.lasts:.2f}"]
        pause = subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True)
        self._pausing.append(pause)

        def goes_on() -> None:
            pause.wait()
            with suppress(ValueError):  # `resume` was quicker
                self._pausing.remove(pause)
            self.done.pauses.append((name.removeprefix("agent "), since, utc_now()))
            self._timeline.tell(CHAOS, f"{name}: goes on")

        return goes_on

    # What befalls machines

    def _cut_power(self, machine: str) -> None:
        controls = self._world.machines[machine].controls
        controls.cut_power()
        last = controls.state()["last"] or {}
        pouring = last.get("order_uuid", "") if last.get("phase") in {"accepted", "brewing", "interrupted"} else ""
        if pouring and controls.cups(pouring):
            self.done.unknowable.add(pouring)
        self._timeline.tell(CHAOS, f"{machine}: power cut{f' while it pours {pouring}' if pouring else ''}")

    def _switch(self, deed: Deed) -> Undo:
        (name,) = deed.whom
        switch = deed.kind.replace(" ", "_")
        controls = self._world.machines[name].controls
        controls.switch_on(switch, Setting(When.ON))
        self._timeline.tell(CHAOS, f"{name}: {deed.kind} for {deed.lasts:.1f} s")

        def right_again() -> None:
            controls.switch_off(switch)
            self._timeline.tell(CHAOS, f"{name}: no more {deed.kind}")

        return right_again

    def _visit(self, machines: Sequence[str]) -> None:
        for name in machines:
            state = self._world.folder / name / "state"
            if state.is_dir():
                operator_decisions.leave(state, operator_decisions.Decision.RESUME_SELLING)
        self._timeline.tell(CHAOS, "a technician looks at the machines")

    # What befalls the others

    def _kill_broker(self, deed: Deed) -> Undo:
        broker = self._world.broker
        if broker.is_running:
            broker.kill()
        if deed.kind is Kind.BROKER_FORGETS:
            self._memory.unlink(missing_ok=True)
        self._timeline.tell(CHAOS, f"{deed.kind}, back in {deed.lasts:.1f} s")

        def back() -> None:
            if not broker.is_running:
                broker.start()
            self._timeline.tell(CHAOS, f"{BROKER}: started again")

        return back

    def _trouble_provider(self, deed: Deed) -> Undo:
        random = Random(deed.draw)
        if deed.kind is Kind.PROVIDER_GONE:
            self._world.gate.shut()
            says, who, mend = "cannot be reached", PROVIDER, self._world.gate.open
        elif deed.kind is Kind.NEWS_SPOILED:
            says, who, mend = self._desk.spoil_notifications(random), NOTIFICATIONS, self._desk.mend_notifications
        else:
            self._desk.slow_refunds(random.choice((None, 3.0)))
            says, who, mend = self._desk.fault(random), PROVIDER, self._desk.mend
        self._timeline.tell(CHAOS, f"{who}: {says}, for {deed.lasts:.1f} s")

        def well() -> None:
            mend()
            self._timeline.tell(CHAOS, f"{who}: well again")

        return well

    def _forge(self, deed: Deed) -> None:
        payments, _, _ = self._world.provider.provider.snapshot()
        newest = [payment.id for payment, _ in payments[-10:]]
        if newest:
            lie = self._desk.forge(newest[int(deed.draw * len(newest))], Random(deed.draw))
            self._timeline.tell(CHAOS, f"{NOTIFICATIONS}: a forged {lie}")
