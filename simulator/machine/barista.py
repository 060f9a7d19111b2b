"""Makes drinks and rinses: one job at a time, in the order of docs/machine-protocol.md 3.1.

`brewing` is kept before anything moves; an outcome is kept, then counted, then said. Never starts a drink by itself.
"""

from protocol.machine import DoneEvent, FailedEvent, ProgressEvent
from protocol.reasons import FaultCode, Phase, Size, Spout, Stage
from simulator.machine.conditions import machine_faults
from simulator.machine.faults import Faults, Setting, When
from simulator.machine.jobs import Job, Pour, Rinsing, Sale
from simulator.machine.memory import Memory, OrderRecord
from simulator.machine.menu import Drink, Menu, Moment
from simulator.machine.power import Timing, power_point
from simulator.machine.voice import Voice

SLOW_FACTOR = 5.0
_MIDDLE = 0.5
_UNPLUGGED_S = 2.0
_NO_WATER_S = 2.0


class Barista:
    """The moving parts. `job` is what they do now."""

    def __init__(self, memory: Memory, faults: Faults, voice: Voice, menu: Menu, timing: Timing) -> None:
        self._memory = memory
        self._faults = faults
        self._voice = voice
        self._menu = menu
        self._timing = timing
        self._last_rinse: str | None = None
        self.job: Job | None = None

    @property
    def wake_at(self) -> float | None:
        return self.job.wake_at if self.job else None

    def pour(self, now: float, drink: Drink, size: Size, sale: Sale, order_uuid: str | None = None) -> None:
        """Begin a drink; its record, if it is an order, is already kept as accepted."""
        pace = SLOW_FACTOR if self._faults.is_on("slow") else 1.0
        seconds = self._timing.brew_s * drink.pace * pace
        self.job = Pour(drink, size, sale, now, seconds, order_uuid)
        if order_uuid is not None:
            for switch, other in (("local_drink", Sale.PAID), ("local_test_drink", Sale.TEST)):
                if self._faults.fires(switch):
                    self._memory.new_cup(None, drink.drink_no).filled = 1.0
                    self._count(drink, other)

    def rinse(self, now: float, job: Rinsing) -> None:
        self.job = job
        self._last_rinse = job.job_uuid

    def knows_rinse(self, job_uuid: str) -> bool:
        """The rinse now running, or the last one: a repeated request starts nothing."""
        return self._last_rinse == job_uuid

    def abandon(self) -> None:
        """A drink is cancelled before anything moved."""
        self.job = None

    def lose_power(self, now: float) -> None:
        """What flowed until now stays in the cup."""
        if isinstance(self.job, Pour):
            self._fill(self.job, self.job.at(now))
        self.job = None
        self._last_rinse = None

    def advance(self, now: float) -> None:
        """Do what is due. Raises `PowerLost` where a switch cuts the power."""
        match self.job:
            case Rinsing() as rinsing if rinsing.wake_at <= now:
                self.job = None
                self._faults.clear("rinse_needed")
                self._voice.announce(now, DoneEvent, job_uuid=rinsing.job_uuid)
            case Pour() as pour:
                self._stop_if_broken(now, pour)
                while self.job is pour and (moment := pour.next_due(now)):
                    self._reach(now, pour, moment)

    def _reach(self, now: float, pour: Pour, moment: Moment) -> None:
        record = self._record(pour)
        if record and record.phase is Phase.ACCEPTED and moment.stage is not Stage.CUP:
            record.phase = Phase.BREWING
            self._memory.save()
            if self._faults.fires("fail_before_pour"):
                return self._fail(now, pour, FaultCode.BREWER)
        self._fill(pour, moment)
        if moment.share >= 1:
            return self._finish(now, pour)
        if record:
            self._voice.mention(ProgressEvent, order_uuid=record.order_uuid, stage=moment.stage, pct=moment.pct)
            if moment.share == _MIDDLE:
                self._middle(now, pour)
        return None

    def _middle(self, now: float, pour: Pour) -> None:
        """The switches that strike in the middle of an order's pour."""
        if self._faults.fires("done_for_other_order"):
            total = self._memory.counters.total
            self._voice.announce(now, DoneEvent, order_uuid="order-of-nobody", total=total)
        if self._faults.fires("fault_mid_brew"):
            passing = Setting(When.ON, seconds=max(pour.seconds / 4, 0.001))
            self._faults.turn_on(FaultCode.DESCALE, passing, now=now)
        if self._faults.fires("no_water_mid_brew"):
            self._faults.turn_on(FaultCode.NO_WATER, Setting(When.ON, seconds=_NO_WATER_S), now=now)
            return self._stop_if_broken(now, pour)
        if unplug := self._faults.fires("unplug_mid_brew"):
            self._faults.turn_on("unplugged", Setting(When.ON, seconds=unplug.seconds or _UNPLUGGED_S), now=now)
        if self._faults.fires("fail_mid_brew"):
            return self._fail(now, pour, FaultCode.BREWER)
        return power_point(self._faults, "mid_pour_crash")

    def _finish(self, now: float, pour: Pour) -> None:
        record = self._record(pour)
        if record is None:
            self._count(pour.drink, pour.sale)
            self.job = None
            return
        power_point(self._faults, "reboot_after_dispense")
        record.phase, record.out = Phase.DONE, Spout.FULL
        self._memory.save()
        power_point(self._faults, "reboot_after_outcome")
        self._count(pour.drink, pour.sale)
        self.job = None
        power_point(self._faults, "reboot_before_done")
        self._voice.announce(now, DoneEvent, order_uuid=record.order_uuid, total=self._memory.counters.total)
        power_point(self._faults, "reboot_after_done")

    def _stop_if_broken(self, now: float, pour: Pour) -> None:
        """A fault that closes this drink ends it."""
        fault = next((fault for fault in machine_faults(self._faults, self._menu) if fault.closes(pour.drink)), None)
        if fault:
            self._fill(pour, pour.at(now))
            self._fail(now, pour, fault.code)

    def _fail(self, now: float, pour: Pour, code: str) -> None:
        self.job = None
        record = self._record(pour)
        if record is None:
            return
        out = Spout.NONE if pour.cup is None else Spout.FULL if pour.cup.is_full else Spout.PARTIAL
        record.phase, record.out, record.failure = Phase.FAILED, out, code
        self._memory.save()
        self._voice.announce(now, FailedEvent, order_uuid=record.order_uuid, code=code, out=out)

    def _fill(self, pour: Pour, moment: Moment) -> None:
        """Ground truth: what is in the cup now."""
        if moment.filled <= 0:
            return
        pour.cup = pour.cup or self._memory.new_cup(pour.order_uuid, pour.drink.drink_no)
        pour.cup.filled = max(pour.cup.filled, moment.filled)
        self._memory.save()

    def _count(self, drink: Drink, sale: Sale) -> None:
        if self._faults.fires("not_counted"):
            return
        counters = self._memory.counters
        times = 2 if self._faults.fires("count_twice") else 1
        counters.total += times
        setattr(counters, sale, getattr(counters, sale) + times)
        if sale is not Sale.TEST:
            counters.by_drink[drink.drink_no] = counters.by_drink.get(drink.drink_no, 0) + times
        self._memory.save()

    def _record(self, pour: Pour) -> OrderRecord | None:
        return None if pour.order_uuid is None else self._memory.order(pour.order_uuid)
