"""The agent's real worker, driver, command handler and journal against the simulated machine, in virtual time.

Only the clock and the threads are missing: one thread does it all. A crash loses everything but the journal's file.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from agent.clock import Bell, CloudClock
from agent.cloud.command_handler import CommandHandler
from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.conversation import Closed, LineLost, LineNews, Opened
from agent.machine.driver import Driver
from agent.machine.frame_dump import FrameDump
from agent.machine.profile import Profile, load
from agent.making.build import Surroundings, build_machine_side
from protocol.frames import Frame
from protocol.machine import CODES, CountersReply, HelloReply, OrderReply
from protocol.messages import Accepted, Cancel, CommandMessage, Event, Make, Outcome, decode_report
from protocol.reasons import Result, Spout
from simulator.machine import CoffeeMachine, Faults, Memory, Timing, Wire, setting_of
from simulator.machine.framing import FrameDecoder, encode

BIRTH = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
AMERICANO = "americano"


class Crash(BaseException):
    """The agent's process ends here, as by kill -9."""


class VirtualClock:
    """Moves only when told. `skew` is how wrong the wall clock is."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.skew = timedelta()

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return self.true_time() + self.skew

    def true_time(self) -> datetime:
        return BIRTH + timedelta(seconds=self.seconds)


class WireLine:
    """The simulated machine's wire as the agent's line; remembers every frame the agent wrote."""

    def __init__(self, wire: Wire, faults: Faults, clock: VirtualClock) -> None:
        self._wire = wire
        self._faults = faults
        self._clock = clock
        self._decoder = FrameDecoder()
        self._news: list[LineNews] = []
        self._session = 0
        self._is_open = False
        self.held_back: list[bytes] | None = None
        """What the line has taken and not delivered; None: it delivers."""
        self.written: list[Frame] = []
        self._to_lose: dict[int, int] = {}
        """How many frames of each command the agent will not hear."""
        self.on_write: Callable[[Frame], None] = lambda _: None
        self.in_other_words: Callable[[Frame], Frame] = lambda frame: frame
        """As another machine would say it."""

    def take_news(self) -> list[LineNews]:
        news, self._news = self._news, []
        return news

    def send(self, frame: Frame, session: int) -> None:
        if not self._is_open or session != self._session:
            raise LineLost("unplugged", wrote_nothing=True)
        self.on_write(frame)
        self.written.append(frame)
        if self.held_back is not None:
            self.held_back.append(encode(frame))
        else:
            self.turn(encode(frame))

    def deliver_late(self) -> None:
        """The line goes on."""
        held, self.held_back = self.held_back or [], None
        for data in held:
            self.turn(data)

    def recall(self, session: int) -> None:
        if self._is_open and session == self._session:
            self.held_back = None
            self._is_open = False
            self._news.append(Closed("recalled"))

    def renew(self, session: int) -> None:
        self.recall(session)

    def error_ratio(self) -> float:
        return 0.0

    def lose_replies(self, kind: type[CountersReply | HelloReply | OrderReply], times: int) -> None:
        """So many from now on, and nothing else."""
        self._to_lose[kind.command] = times

    def reopen(self) -> None:
        """As a new process would find it."""
        self._is_open = False
        self._news.clear()
        self._decoder = FrameDecoder()

    def turn(self, heard: bytes = b"") -> float:
        """Let the machine act; returns when it wants to act again."""
        turn = self._wire.turn(self._clock.seconds, heard)
        is_plugged = not self._faults.is_on("unplugged")
        if is_plugged and not self._is_open:
            self._session += 1
            self._news.append(Opened(self._session))
        elif not is_plugged and self._is_open:
            self._news.append(Closed("unplugged"))
        self._is_open = is_plugged
        if is_plugged:
            for piece in turn.pieces:
                frames = [frame for frame in self._decoder.feed(piece) if not self._loses(frame)]
                self._news += map(self.in_other_words, frames)
        return turn.wake_at

    def _loses(self, frame: Frame) -> bool:
        left = self._to_lose.get(frame.command, 0)
        self._to_lose[frame.command] = max(0, left - 1)
        return left > 0

    def has_news(self) -> bool:
        return bool(self._news)

    def makes(self) -> int:
        """How often a make frame was written."""
        return sum(frame.command == 0x22 for frame in self.written)

    def said(self, kind: type) -> int:
        return sum(CODES[frame.command] is kind for frame in self.written)


class World:
    """One machine, one agent, a stand-in for the cloud that only collects."""

    def __init__(self, folder: Path, *, brew_s: float = 6.0, profile: Profile | None = None, hot: bool = True) -> None:
        self.folder = folder
        self.device_uuid = "m-001"
        self.profile = profile or load("companion-v1")
        self.clock = VirtualClock()
        self.random = Random(7)
        self.faults = Faults(self.random)
        boots = iter(f"b{number}" for number in range(10_000))
        self.machine = CoffeeMachine(Memory(), self.faults, lambda: next(boots), timing=Timing(brew_s=brew_s))
        self.line = WireLine(Wire(self.machine, self.faults, self.random), self.faults, self.clock)
        self.restarts = 0
        self.restarts_asked: list[float] = []
        self._ids = iter(range(1, 1_000_000))
        self._build()
        if hot:
            self.run(5)
            assert self.live_state.view.machine == "ready"

    def _build(self) -> None:
        self.bell, self.link_bell = Bell(), Bell()
        self.cloud = CloudClock(self.clock)
        self.journal = Journal.open(
            self.folder, self.device_uuid, self.clock, lambda: f"id{next(self._ids)}", self.cloud, self.link_bell
        )
        self.live_state = LiveState(self.link_bell)
        self.driver = Driver(self.line, self.profile, self.clock, self.random)
        self.frame_dump = FrameDump(self.folder / "frames")
        built = build_machine_side(
            Surroundings(
                line=self.line,
                driver=self.driver,
                journal=self.journal,
                live_state=self.live_state,
                clock=self.clock,
                cloud=self.cloud,
                profile=self.profile,
                base_profile=self.profile,
                frame_dump=self.frame_dump,
                state_dir=self.folder,
                restart=lambda: self.restarts_asked.append(self.clock.seconds),
            )
        )
        self.worker, self.events, self.readiness = built.worker, built.events, built.readiness
        self.command_handler = CommandHandler(self.journal, self.live_state, self.bell)

    def close(self) -> None:
        self.worker.abandon()
        self.journal.close()

    def restart(self, after: float = 1.0) -> None:
        """Everything but the journal's file is gone; the machine goes on meanwhile."""
        self.journal.close()
        self.run_machine(after)
        self.line.reopen()
        self.restarts += 1
        self._build()

    # Time

    def run(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        """Let time pass; True as soon as `until()` holds. A `Crash` restarts the agent after a second."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            try:
                wake = self._settle_now()
            except Crash:
                self.line.on_write = lambda _: None
                self.restart()
                self.welcome()
                continue
            if until():
                return True
            self.clock.seconds = min(end, max(self.clock.seconds + 1e-4, wake))
        return bool(until())

    def run_machine(self, seconds: float) -> None:
        """Time passes without an agent."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            wake = self.line.turn()
            self.clock.seconds = min(end, max(self.clock.seconds + 1e-4, wake))
        self.line.take_news()

    def crash_after_commit(self, number: int) -> None:
        """Kill the agent right after this many commits from now; what follows is a new process."""
        database = self.journal._database
        original = database.transaction
        left = number

        @contextmanager
        def counted() -> Iterator[sqlite3.Connection]:
            nonlocal left
            with original() as connection:
                yield connection
            if database._depth == 0:
                left -= 1
                if left == 0:
                    raise Crash

        database.transaction = counted  # type: ignore[method-assign]  # the only seam at which a kill can be placed exactly
        self.journal.transaction = counted

    def deliver(self, make: Make) -> None:
        """As the broker does: again after a crash that left it unacknowledged."""
        try:
            self.tell(make)
        except Crash:
            self.restart()
            self.welcome()
            self.tell(make)

    def aftermath(self) -> float:
        """Seconds in which more may come of what was ordered: a deadline, or the next recheck of an open question."""
        is_open = bool(self.journal.unsettled()) or any(
            isinstance(one, Outcome) and one.result is Result.UNKNOWN for one in self.reports()
        )
        return 400.0 if is_open else 100.0

    def _settle_now(self) -> float:
        """Step both until neither has anything to do at this moment; the next waking time."""
        while True:
            machine_wake = self.line.turn()
            agent_wake = self.worker.step(self.clock.seconds)
            if not self.line.has_news():
                return min(machine_wake, agent_wake)

    # The cloud's side

    def welcome(self) -> None:
        self.cloud.learn(self.clock.true_time(), self.clock.monotonic())

    def tell(self, message: CommandMessage) -> None:
        self.command_handler.handle(message)

    def make(self, command_id: str = "c1", order_id: str = "o1", *, within: float = 60.0, age: float = 0.0) -> Make:
        """A make command of the present moment, not delivered yet."""
        issued_at = self.clock.true_time() - timedelta(seconds=age)
        return Make(
            command_id=command_id,
            order_id=order_id,
            attempt=1,
            drink_no=AMERICANO,
            size=1,
            price=17900,
            issued_at=issued_at,
            deadline_at=issued_at + timedelta(seconds=within),
        )

    def order(self, command_id: str = "c1", order_id: str = "o1", *, within: float = 60.0) -> None:
        self.welcome()
        self.tell(self.make(command_id, order_id, within=within))

    def cancel(self, command_id: str = "c1", order_id: str = "o1") -> None:
        self.tell(Cancel(command_id=command_id, order_id=order_id))

    def reports(self) -> Sequence[object]:
        return [decode_report(report.payload) for report in self.journal.report_queue.after(0, 10_000)]

    def confirm_all(self) -> None:
        """The cloud's receipt for everything it was told."""
        reports = [one for one in self.reports() if isinstance(one, Outcome | Accepted)]
        self.journal.report_queue.confirm([one.message_id for one in reports])

    def told(self) -> list[Event]:
        """Written down and not receipted, oldest first."""
        said = [decode_report(report.payload) for report in self.journal.report_queue.events_after(0, 10_000)]
        return [one for one in said if isinstance(one, Event)]

    def told_of(self, what: str) -> list[Event]:
        return [one for one in self.told() if one.what == what]

    def outcomes(self, command_id: str = "c1") -> list[Outcome]:
        return [one for one in self.reports() if isinstance(one, Outcome) and one.command_id == command_id]

    def accepted(self, command_id: str = "c1") -> list[Accepted]:
        return [one for one in self.reports() if isinstance(one, Accepted) and one.command_id == command_id]

    def outcome(self, command_id: str = "c1", *, within: float = 600.0) -> Outcome:
        """The first outcome of a command, waited for."""
        assert self.run(within, lambda: self.outcomes(command_id)), f"no outcome of {command_id} in {within} s"
        return self.outcomes(command_id)[0]

    # The machine's side

    def switch(self, name: str, **options: object) -> None:
        self.faults.turn_on(name, setting_of(name, **options), now=self.clock.seconds)  # type: ignore[arg-type]  # the options are checked there

    def switch_off(self, name: str) -> None:
        self.faults.clear(name)

    def cups(self, order_id: str = "o1") -> int:
        """Ground truth: full cups."""
        return sum(cup.is_full for cup in self.machine.memory.cups if cup.order_uuid == order_id)

    def touched(self, order_id: str = "o1") -> int:
        """Ground truth: cups something flowed into."""
        return sum(cup.order_uuid == order_id for cup in self.machine.memory.cups)


def assert_truthful(world: World, outcome: Outcome) -> None:
    """The invariants of docs/machine-protocol.md 5.6."""
    assert world.cups(outcome.order_id) <= 1
    assert world.touched(outcome.order_id) <= 1
    if outcome.result is Result.DONE:
        assert world.cups(outcome.order_id) == 1
    if outcome.result is Result.REJECTED or outcome.out is Spout.NONE:
        assert world.touched(outcome.order_id) == 0
