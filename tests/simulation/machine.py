"""A coffee machine in a world: the simulator's, on a wire without threads, and the truth about its cups.

`on_start` hears of every drink that begins, at the instant it begins.
"""

from collections.abc import Callable
from itertools import count
from random import Random

from agent.machine.conversation import Closed, LineLost, LineNews, Opened
from protocol.frames import Frame
from protocol.machine import MakeDrink
from protocol.reasons import MachineState, Size
from simulator.machine import CoffeeMachine, Drink, Faults, Memory, Timing, Wire, setting_of
from simulator.machine.framing import FrameDecoder, encode
from simulator.machine.jobs import Rinsing, Sale
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.timeline import Timeline

HEARTBEAT_S = 13.0
"""The machine's; seldom, to spare us steps, and still before the agent calls it quiet (15 s)."""
CASH_DRINK, SOLD_DRINK = "latte", "americano"
CLEANING_S = 40.0
REOPENED_AFTER_S = 0.3


class Machine:
    """One machine that is never off for long. It does not die with the agent."""

    def __init__(self, name: str, scheduler: Scheduler, timeline: Timeline, seed: int, brew_s: float) -> None:
        self.name = name
        self.switches = Faults(Random(f"{seed}/{name}/switches"))
        self.memory = Memory()
        self.on_start: Callable[[str], None] = lambda _order_id: None
        self.line = MachineLine(self, scheduler)
        self.service_runs = 0
        self.begun_at: dict[str, float] = {}
        self.forgotten: set[str] = set()
        self._timeline = timeline
        self._scheduler = scheduler
        boots = count(1)
        timing = Timing(brew_s=brew_s, heartbeat_s=HEARTBEAT_S)
        self.machine = CoffeeMachine(self.memory, self.switches, lambda: f"{name}-boot{next(boots)}", timing=timing)
        self._pour = self.machine.barista.pour
        self.machine.barista.pour = self._begin  # type: ignore[method-assign]  # the instant a drink begins
        self.wire = Wire(self.machine, self.switches, Random(f"{seed}/{name}/wire"))
        self._wake_at = float("inf")

    def full_cups(self, order_id: str) -> int:
        """Ground truth."""
        return sum(cup.is_full for cup in self.memory.cups if cup.order_uuid == order_id)

    def touched_cups(self, order_id: str) -> int:
        """Ground truth: cups something flowed into."""
        return sum(cup.order_uuid == order_id for cup in self.memory.cups)

    def switch_on(self, name: str, **options: object) -> None:
        self._timeline.add(self.name, f"switch {name} {options or ''}")
        self.switches.turn_on(name, setting_of(name, **options), now=self._scheduler.now)  # type: ignore[arg-type]  # the options are checked there
        self.turn()

    def repair(self) -> None:
        """Everything that was switched wrong is right again; what the machine is not able to do it still is not."""
        for name in [name for name in self.switches.active if not name.startswith("without_")]:
            self.switches.clear(name)
        self.turn()

    def forget(self, order_id: str, random: Random) -> None:
        """It pours on, and knows nothing of it any more; the agent will ask."""
        what = random.choice(("unplugged", "silent", "wiped"))
        self._timeline.add(self.name, f"forgets it: {what}", order_id)
        if what == "wiped":
            self.forgotten |= set(self.begun_at)
            self.memory.wipe()
            self.cut_power()
        else:
            self.forgotten.add(order_id)
            self.memory.forget(order_id)
            self.switch_on(what, seconds=1 if what == "unplugged" else 16)

    def cut_power(self) -> None:
        self._timeline.add(self.name, "its power is cut")
        self.wire.cut_power(self._scheduler.now)
        self.turn()

    def sell_for_cash(self) -> None:
        sold = self.machine.local_drink(self._scheduler.now, CASH_DRINK, Sale.PAID)
        self._timeline.add(self.name, "a latte for cash" if sold else "no latte for cash: not ready")
        self.turn()

    def service_run(self, random: Random) -> None:
        """Free and test drinks of the very kind that is sold, and cleaning: no sales, whoever counts (promise 10)."""
        what = random.choice(("free", "test", "clean"))
        now = self._scheduler.now
        is_ready = self.machine.state(now) is MachineState.READY
        if what != "clean":
            is_ready = self.machine.local_drink(now, SOLD_DRINK, Sale(what))
        elif is_ready:
            self.machine.barista.rinse(now, Rinsing("by hand", "clean", now + CLEANING_S))
        self.service_runs += is_ready
        self._timeline.add(self.name, f"a {what} run by hand{'' if is_ready else ': not ready'}")
        self.turn()

    def turn(self, heard: bytes = b"") -> None:
        """Let it act on what it heard and on what is due."""
        turn = self.wire.turn(self._scheduler.now, heard)
        self.line.carry(turn.pieces)
        if turn.wake_at < self._wake_at or self._wake_at <= self._scheduler.now:
            self._wake_at = turn.wake_at
            self._scheduler.at(turn.wake_at, self._wake)

    def _wake(self) -> None:
        if self._scheduler.now >= self._wake_at:
            self._wake_at = float("inf")
            self.turn()

    def _begin(self, now: float, drink: Drink, size: Size, sale: Sale, order_uuid: str | None = None) -> None:
        if order_uuid is not None:
            self._timeline.add(self.name, f"begins {drink.drink_no}", order_uuid)
            self.begun_at.setdefault(order_uuid, now)
            self.on_start(order_uuid)
        self._pour(now, drink, size, sale, order_uuid)


class MachineLine:
    """The serial line as the agent has it; opened anew by each process."""

    def __init__(self, machine: Machine, scheduler: Scheduler) -> None:
        self._machine = machine
        self._scheduler = scheduler
        self._decoder = FrameDecoder()
        self._news: list[LineNews] = []
        self._session = 0
        self._is_open = False
        self._owner: Process | None = None
        self.on_news: Callable[[], None] = lambda: None
        self._held_back: list[bytes] | None = None
        """What was written and has not arrived: forgotten when the port is closed, by whatever."""
        self.stalls: Callable[[], float] = lambda: 0.0
        """Asked at each make: for how many seconds nothing written arrives."""
        self.break_write: Callable[[], str] = lambda: ""
        """Asked at each write: "lost" or "arrives" when the write fails and its bytes do so."""

    def open_for(self, owner: Process, on_news: Callable[[], None]) -> None:
        """A new process opens the port."""
        self._owner, self.on_news = owner, on_news
        self._is_open = False
        self._news.clear()
        self._decoder = FrameDecoder()
        self.carry([])

    def hang_up(self) -> None:
        """The process that had the port is gone."""
        self._owner, self.on_news, self._is_open = None, lambda: None, False
        self._held_back = None
        self._news.clear()

    def take_news(self) -> list[LineNews]:
        news, self._news = self._news, []
        return news

    def send(self, frame: Frame, session: int) -> None:
        if not self._is_open or session != self._session:
            raise LineLost("unplugged", wrote_nothing=True)
        if self._owner is not None:
            self._owner.die_here("before bytes to the machine")
        broken = self.break_write()
        if frame.command == MakeDrink.command and self._held_back is None and (seconds := self.stalls()):
            self._held_back = []
            self._scheduler.after(seconds, self._go_on)
        if self._held_back is not None:
            self._held_back.append(encode(frame))
        elif broken != "lost":
            self._machine.turn(encode(frame))
        if broken:
            self._reopen()
            raise LineLost("the write failed")
        if self._owner is not None and frame.command == MakeDrink.command:
            self._owner.die_here("after a make was written")

    def recall(self, session: int) -> None:
        if self._is_open and session == self._session:
            self._reopen()

    def renew(self, session: int) -> None:
        self.recall(session)

    def error_ratio(self) -> float:
        return 0.0

    def _go_on(self) -> None:
        """The line delivers what it held back."""
        held, self._held_back = self._held_back, None
        for data in held or ():
            self._machine.turn(data)

    def _reopen(self) -> None:
        """As the real port does after a failed write."""
        owner, self._owner = self._owner, None
        self._held_back = None
        self.carry([])

        def opened() -> None:
            if self._owner is None:
                self._owner = owner
                self.carry([])

        self._scheduler.after(REOPENED_AFTER_S, opened, owner)

    def carry(self, pieces: list[bytes]) -> None:
        """What the machine says, as far as the cable is in and somebody has the port."""
        is_plugged = not self._machine.switches.is_on("unplugged") and self._owner is not None and self._owner.alive
        if is_plugged and not self._is_open:
            self._session += 1
            self._news.append(Opened(self._session))
        elif not is_plugged and self._is_open:
            self._news.append(Closed("unplugged"))
        self._is_open = is_plugged
        if is_plugged:
            for piece in pieces:
                self._news += self._decoder.feed(piece)
        if self._news:
            self.on_news()
