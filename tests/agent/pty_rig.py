"""The agent's worker on a real serial port in real time; the test's own thread steps it. No broker.

And a cable: a pty under a stable name that can be pulled out and comes back as another one.
"""

import os
import pty
import tty
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

from agent.clock import Bell, CloudClock, SystemClock
from agent.cloud.command_handler import CommandHandler
from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.driver import Driver
from agent.machine.frame_dump import FrameDump
from agent.machine.profile import Profile
from agent.machine.serial_port import SerialLine
from agent.making.build import Surroundings, build_machine_side
from protocol.messages import Make, Outcome, decode_report
from tests.waiting import wait_until


class Cable:
    """`machine` is the descriptor of the far end; `name` the link that survives."""

    def __init__(self, name: Path) -> None:
        self.name = name
        self.machine = self._end = -1

    def plug(self) -> None:
        machine, end = pty.openpty()
        self.machine, self._end = machine, end
        tty.setraw(end)
        fresh = self.name.with_suffix(".new")
        fresh.symlink_to(os.ttyname(end))
        fresh.replace(self.name)

    def pull(self) -> None:
        if self.machine >= 0:
            os.close(self.machine)
            os.close(self._end)
            self.machine = -1
            self.name.unlink()

    @property
    def device(self) -> str:
        return os.ttyname(self._end)


class Rig:
    """One agent without a broker: tell it a make, run it, look at what it reports."""

    def __init__(self, folder: Path, port: str, profile: Profile) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.bell = Bell()
        ids = (f"id{number}" for number in count(1))
        cloud = CloudClock(self.clock)
        cloud.learn(datetime.now(UTC), self.clock.monotonic())
        self.journal = Journal.open(folder, "m-001", self.clock, lambda: next(ids), cloud, Bell())
        self.live_state = LiveState(Bell())
        random = Random(5)
        frame_dump = FrameDump(folder / "frames")
        self.beats = 0
        self.line = SerialLine(
            port, profile, frame_dump=frame_dump, clock=self.clock, random=random, bell=self.bell, beat=self._beat
        )
        self.driver = Driver(self.line, profile, self.clock, random)
        self.worker = build_machine_side(
            Surroundings(
                line=self.line,
                driver=self.driver,
                journal=self.journal,
                live_state=self.live_state,
                clock=self.clock,
                cloud=cloud,
                profile=profile,
                base_profile=profile,
                frame_dump=frame_dump,
                state_dir=folder,
                restart=lambda: None,
            )
        ).worker
        self.command_handler = CommandHandler(self.journal, self.live_state, self.bell)
        self.line.start()

    def close(self) -> None:
        self.worker.abandon()
        self.line.stop()
        self.journal.close()

    def wait_open(self) -> None:
        """The port is open; what is written before is thrown away with its buffers."""
        wait_until(lambda: self.line._port is not None, what="the port to open")

    def run_until(self, predicate: Callable[[], object], timeout: float = 20.0, what: str = "the condition") -> None:
        def stepped() -> object:
            wake = self.worker.step(self.clock.monotonic())
            if predicate():
                return True
            self.bell.wait(min(0.02, wake - self.clock.monotonic()))
            return False

        wait_until(stepped, timeout, what)

    def run_until_ready(self) -> None:
        self.run_until(
            lambda: (self.live_state.view.link, self.live_state.view.machine) == ("up", "ready"), what="readiness"
        )

    def order(self, command_id: str = "c1", order_id: str = "o1", *, drink_no: str = "americano") -> None:
        now = datetime.now(UTC)
        make = Make(
            command_id=command_id,
            order_id=order_id,
            attempt=1,
            drink_no=drink_no,
            size=1,
            price=17900,
            issued_at=now,
            deadline_at=now + timedelta(seconds=60),
        )
        self.command_handler.handle(make)

    def outcomes(self, command_id: str = "c1") -> list[Outcome]:
        said = [decode_report(report.payload) for report in self.journal.report_queue.after(0, 10_000)]
        return [one for one in said if isinstance(one, Outcome) and one.command_id == command_id]

    def outcome(self, command_id: str = "c1", timeout: float = 30.0) -> Outcome:
        self.run_until(lambda: self.outcomes(command_id), timeout, what=f"an outcome of {command_id}")
        return self.outcomes(command_id)[-1]

    def _beat(self) -> None:
        self.beats += 1
