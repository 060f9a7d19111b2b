"""The coffee machine itself, `companion-v1`: requests in, replies and events out (docs/machine-protocol.md 3).

Pure but for its memory: no port, no clock, no thread. It never pours one order twice unless a switch takes its dedup.
"""

from collections.abc import Callable

from protocol.errors import Malformed, UnknownKind
from protocol.frames import Frame
from protocol.machine import (
    Booted,
    CancelDrink,
    CountersQuery,
    EventAck,
    FaultEvent,
    Heartbeat,
    Hello,
    LinkNak,
    MachineMessage,
    MakeDrink,
    OrderQuery,
    Rinse,
    Status,
    from_frame,
)
from protocol.reasons import FaultLevel, MachineState
from simulator.machine.answers import Answers
from simulator.machine.barista import Barista
from simulator.machine.conditions import MachineFault, machine_faults
from simulator.machine.faults import Faults
from simulator.machine.jobs import Sale
from simulator.machine.memory import Counters, Memory
from simulator.machine.menu import STANDARD_MENU, Menu
from simulator.machine.power import PowerLost, Timing
from simulator.machine.switches import without
from simulator.machine.voice import Effect, Voice

_FLOOD_S = 0.01


class CoffeeMachine:
    """Hand it frames and time; it hands back what it says. It boots at its first step."""

    def __init__(
        self,
        memory: Memory,
        faults: Faults,
        new_boot_id: Callable[[], str],
        timing: Timing | None = None,
        menu: Menu | None = None,
    ) -> None:
        self.menu = STANDARD_MENU if menu is None else menu
        self.memory = memory
        self._faults = faults
        self._new_boot_id = new_boot_id
        self._timing = timing or Timing()
        self._voice = Voice(faults)
        self.barista = Barista(memory, faults, self._voice, self.menu, self._timing)
        self._answers = Answers(memory, faults, self._voice, self.barista, self.menu, self._timing)
        self._boots_at: float | None = 0.0
        self._booted_at = 0.0
        self._hot_at = 0.0
        self._last_heartbeat = 0.0
        self._announced: dict[str, MachineFault] = {}

    @property
    def is_powered(self) -> bool:
        return self._boots_at is None

    @property
    def boot_id(self) -> str:
        return self._voice.boot_id

    @property
    def unheard_events(self) -> int:
        return self._voice.unheard

    def state(self, now: float) -> MachineState:
        """What it is doing."""
        if not self.is_powered:
            return MachineState.OFF
        if self._faults.is_on("service"):
            return MachineState.SERVICE
        if self.barista.job:
            return self.barista.job.state
        if now < self._hot_at or self._faults.is_on("heating"):
            return MachineState.HEATING
        broken = any(fault.closes_all for fault in machine_faults(self._faults, self.menu))
        return MachineState.FAULT if broken else MachineState.READY

    def told_state(self, now: float) -> MachineState:
        """What it says of itself; a switch makes that untrue."""
        state = self.state(now)
        is_lie = state is MachineState.BREWING and self._faults.is_on("says_ready")
        return MachineState.READY if is_lie else state

    @property
    def wake_at(self) -> float:
        """When `step` is next needed, if nothing is received before."""
        if self._boots_at is not None:
            return self._boots_at
        moments = [self._next_heartbeat, self.barista.wake_at, self._voice.wake_at, self._faults.wake_at]
        return min(moment for moment in moments if moment is not None)

    def receive(self, now: float, frame: Frame) -> list[Effect]:
        """One whole frame from the host."""
        return self._act(now, lambda: self._hear(now, frame) if self.is_powered else None)

    def step(self, now: float) -> list[Effect]:
        """Everything that is due by `now`."""
        return self._act(now, lambda: self._go_on(now))

    def cut_power(self, now: float) -> list[Effect]:
        """As pulling the mains plug and putting it back."""
        return self._act(now, self._pull_the_plug)

    def local_drink(self, now: float, drink_no: str, sale: Sale) -> bool:
        """Somebody at the machine makes a drink without us; False when it cannot start."""
        return self.is_powered and self._answers.local_drink(now, self.state(now), drink_no, sale)

    def _act(self, now: float, what: Callable[[], None]) -> list[Effect]:
        try:
            what()
        except PowerLost:
            self.barista.lose_power(now)
            self._voice.fall_silent()
            self._boots_at = now + self._timing.boot_s
        return self._voice.take()

    def _pull_the_plug(self) -> None:
        raise PowerLost("mains")

    def _go_on(self, now: float) -> None:
        self._faults.expire(now)
        if self._boots_at is not None:
            if now < self._boots_at:
                return
            self._boot(now)
        self._notice_faults(now)
        self.barista.advance(now)
        self._notice_faults(now)
        self._voice.repeat(now)
        if now >= self._next_heartbeat:
            self._last_heartbeat = now
            state, up = self.told_state(now), int(now - self._booted_at)
            self._voice.reply(Heartbeat(boot_id=self.boot_id, state=state, up=up))

    @property
    def _next_heartbeat(self) -> float:
        flooding = self._faults.is_on("flood_heartbeats")
        return self._last_heartbeat + (_FLOOD_S if flooding else self._timing.heartbeat_s)

    def _boot(self, now: float) -> None:
        last = None if self._faults.is_on(without("nv")) else self.memory.last_order
        last_order, last_phase = (last.order_uuid, last.phase) if last else (None, None)
        self._answers.previous_boot_id = self.memory.boot_id or None
        if self._faults.fires("wipe_memory"):
            self.memory.wipe()
        self.memory.boot_id = self._new_boot_id()
        self.memory.boots += 1
        self.memory.interrupt_unfinished()
        if self._faults.is_on(without("nv")):
            self.memory.forget_orders()
        if self._faults.fires("lose_counters"):
            self.memory.counters = Counters()
        self.memory.save()
        self._boots_at = None
        self._booted_at = now
        self._hot_at = now + self._timing.heating_s
        self._last_heartbeat = now
        self._announced = {}
        self._voice.begin(self.memory.boot_id)
        self._voice.announce(now, Booted, why="power", last_order=last_order, last_phase=last_phase)

    def _notice_faults(self, now: float) -> None:
        """Say which faults came and went since the last look."""
        present = {fault.code: fault for fault in machine_faults(self._faults, self.menu)}
        for code, fault in self._announced.items():
            if code not in present:
                self._tell(now, fault, on=False)
        for code, fault in present.items():
            if code not in self._announced:
                self._tell(now, fault, on=True)
        self._announced = present

    def _tell(self, now: float, fault: MachineFault, *, on: bool) -> None:
        level: FaultLevel = fault.level
        self._voice.announce(now, FaultEvent, code=fault.code, on=on, level=level, drinks=list(fault.drinks))

    def _hear(self, now: float, frame: Frame) -> None:
        try:
            message = from_frame(frame)
        except UnknownKind:
            self._voice.reply(LinkNak(why="cmd"))
        except Malformed:
            self._answers.malformed(frame)
        else:
            self._answer(now, message)

    def _answer(self, now: float, message: MachineMessage) -> None:
        state = self.state(now)
        match message:
            case Hello():
                self._answers.hello(message)
            case Status():
                self._answers.status(message, self.told_state(now))
            case MakeDrink():
                self._answers.make(now, message, state)
            case CancelDrink():
                self._answers.cancel(message)
            case OrderQuery():
                self._answers.order(message)
            case CountersQuery():
                self._answers.counters(message)
            case Rinse():
                self._answers.rinse(now, message, state)
            case EventAck():
                self._voice.heard(message.boot_id, message.evt)
            case LinkNak():
                pass
            case _:  # a machine's own word come back
                self._voice.reply(LinkNak(why="cmd"))
