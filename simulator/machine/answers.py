"""What the machine answers to each request of the host (docs/wire-contract.md 2.3), and what it refuses, and why."""

from typing import Any

import msgspec

from protocol import json_text
from protocol.errors import Malformed
from protocol.frames import Frame
from protocol.machine import (
    CancelDrink,
    CancelReply,
    CountersQuery,
    CountersReply,
    Hello,
    HelloReply,
    LinkNak,
    MakeDrink,
    MakeReply,
    OrderQuery,
    OrderReply,
    Rinse,
    RinseReply,
    Status,
    StatusReply,
    from_frame,
)
from protocol.reasons import MachineState, Phase, RejectCode, Size, Spout
from simulator.machine.barista import Barista
from simulator.machine.conditions import machine_faults, refusal_of
from simulator.machine.faults import Faults
from simulator.machine.jobs import Pour, Rinsing, Sale
from simulator.machine.memory import Memory, OrderRecord
from simulator.machine.menu import Menu
from simulator.machine.power import Timing, power_point
from simulator.machine.switches import CAPABILITIES, reject, without
from simulator.machine.voice import Voice

MODEL = "sim-1"
FIRMWARE = "1.0"
_CLEANING_FACTOR = 3.0
_JUMP = 1000
_BUSY = (MachineState.BREWING, MachineState.RINSING, MachineState.CLEANING)
_RINSE_STOPPERS = (RejectCode.NO_WATER, RejectCode.DOOR_OPEN, RejectCode.TRAY_MISSING, RejectCode.TRAY_FULL)


class Answers:
    """One method a request. Raises `PowerLost` where a switch cuts the power."""

    def __init__(
        self, memory: Memory, faults: Faults, voice: Voice, barista: Barista, menu: Menu, timing: Timing
    ) -> None:
        self._memory = memory
        self._faults = faults
        self._voice = voice
        self._barista = barista
        self._menu = menu
        self._timing = timing
        self.previous_boot_id: str | None = None

    def hello(self, asked: Hello) -> None:
        caps = [capability for capability in CAPABILITIES if self._can(capability)]
        boot_id = self._voice.boot_id
        self._voice.reply(HelloReply(msg_id=asked.msg_id, model=MODEL, fw=FIRMWARE, boot_id=boot_id, caps=caps))

    def status(self, asked: Status, state: MachineState) -> None:
        job = self._barista.job
        order_uuid = job.order_uuid if isinstance(job, Pour) else None
        faults = [fault.code for fault in machine_faults(self._faults, self._menu)] if self._can("faults") else []
        boot_id = self._voice.boot_id
        self._voice.reply(
            StatusReply(msg_id=asked.msg_id, boot_id=boot_id, state=state, order_uuid=order_uuid, faults=faults)
        )

    def make(self, now: float, asked: MakeDrink, state: MachineState) -> None:
        """Keep the order, answer, only then move. A known order gets its old verdict and starts nothing."""
        power_point(self._faults, "reboot_before_accept")
        known = self._memory.order(asked.order_uuid)
        if known and self._can("dedup"):
            self._verdict(asked.order_uuid, known.refused, dup=True)
            return
        size = Size(int(asked.text_flag))
        record = OrderRecord(order_uuid=asked.order_uuid, drink_no=asked.drink_no, size=size, phase=Phase.ACCEPTED)
        record.refused = self._why_not(asked.drink_no, state)
        if record.refused:
            record.phase = Phase.FAILED
            if known is None:
                self._memory.remember(record)
            self._verdict(asked.order_uuid, record.refused, dup=False)
            return
        self._memory.remember(record)
        power_point(self._faults, "reboot_after_accept")
        self._verdict(asked.order_uuid, None, dup=False)
        if self._faults.fires("take_back_verdict"):
            self._verdict(asked.order_uuid, RejectCode.BUSY, dup=False)
        sale = Sale.PAID if asked.price else Sale.FREE
        self._barista.pour(now, self._menu[asked.drink_no], size, sale, asked.order_uuid)

    def malformed(self, frame: Frame) -> None:
        """A make that still names its order is refused by name; anything else is a fault of the link."""
        body = _object(frame.body) if frame.command == MakeDrink.command else {}
        order_uuid = body.get("orderUuid")
        if isinstance(order_uuid, str) and 1 <= len(order_uuid) <= 255:
            code = RejectCode.BAD_SIZE if _only_size_is_wrong(body) else RejectCode.BAD_BODY
            self._verdict(order_uuid, code, dup=False)
        else:
            self._voice.reply(LinkNak(why="json"))

    def cancel(self, asked: CancelDrink) -> None:
        if not self._can("cancel"):
            return self._voice.reply(LinkNak(why="cmd"))
        record = self._memory.order(asked.order_uuid)
        if record and record.phase is Phase.ACCEPTED:
            record.phase = Phase.CANCELLED
            self._memory.save()
            self._barista.abandon()
        phase = record.phase if record else Phase.UNKNOWN
        reply = CancelReply(
            msg_id=asked.msg_id,
            order_uuid=asked.order_uuid,
            ok=phase is Phase.CANCELLED,
            phase=phase,
            boot_id=self._voice.boot_id,
        )
        if phase not in (Phase.CANCELLED, Phase.UNKNOWN):
            reply = msgspec.structs.replace(reply, code=RejectCode.TOO_LATE)
        return self._voice.reply(reply)

    def order(self, asked: OrderQuery) -> None:
        if not self._can("order"):
            return self._voice.reply(LinkNak(why="cmd"))
        if self._faults.fires("forget_order"):
            self._memory.forget(asked.order_uuid)
        record = self._memory.order(asked.order_uuid)
        stale = self._faults.fires("stale_boot_id")
        return self._voice.reply(
            OrderReply(
                msg_id=asked.msg_id,
                order_uuid=asked.order_uuid,
                phase=record.phase if record else Phase.UNKNOWN,
                out=record.out if record else Spout.UNKNOWN,
                boot_id=(self.previous_boot_id or "before") if stale else self._voice.boot_id,
                hist="nv" if self._can("nv") else "ram",
            )
        )

    def counters(self, asked: CountersQuery) -> None:
        if not self._can("counters"):
            return self._voice.reply(LinkNak(why="cmd"))
        if self._faults.fires("counters_jump"):
            self._memory.counters_jump(_JUMP)
        counters = self._memory.counters
        return self._voice.reply(
            CountersReply(
                msg_id=asked.msg_id,
                boot_id=self._voice.boot_id,
                boots=self._memory.boots,
                total=counters.total,
                paid=counters.paid,
                free=counters.free,
                test=counters.test,
                by_drink=dict(counters.by_drink),
            )
        )

    def rinse(self, now: float, asked: Rinse, state: MachineState) -> None:
        if not self._can("rinse"):
            return self._voice.reply(LinkNak(why="cmd"))
        code = None if self._barista.knows_rinse(asked.job_uuid) else self._why_not_rinse(state)
        reply = RinseReply(msg_id=asked.msg_id, job_uuid=asked.job_uuid, ok=code is None, boot_id=self._voice.boot_id)
        if code:
            return self._voice.reply(msgspec.structs.replace(reply, code=code))
        self._voice.reply(reply)
        if not self._barista.knows_rinse(asked.job_uuid):
            seconds = self._timing.rinse_s * (_CLEANING_FACTOR if asked.kind == "clean" else 1.0)
            self._barista.rinse(now, Rinsing(asked.job_uuid, asked.kind, now + seconds))
        return None

    def local_drink(self, now: float, state: MachineState, drink_no: str, sale: Sale) -> bool:
        """A drink for cash, or a test one, made at the machine itself; False when it cannot start."""
        drink = self._menu.get(drink_no)
        closed = drink is None or refusal_of(drink, self._faults, self._menu)
        if drink is None or closed or state not in (MachineState.READY, MachineState.FAULT):
            return False
        self._barista.pour(now, drink, Size.MEDIUM, sale)
        return True

    def _why_not(self, drink_no: str, state: MachineState) -> RejectCode | None:
        ordered = next((code for code in RejectCode if self._faults.fires(reject(code))), None)
        if ordered:
            return ordered
        if state in _BUSY:
            return RejectCode.BUSY
        if drink_no not in self._menu:
            return RejectCode.BAD_DRINK
        condition = refusal_of(self._menu[drink_no], self._faults, self._menu)
        if condition is None and state is MachineState.HEATING:
            return RejectCode.HEATING
        return condition

    def _why_not_rinse(self, state: MachineState) -> RejectCode | None:
        if state in _BUSY:
            return RejectCode.BUSY
        if state in (MachineState.HEATING, MachineState.SERVICE):
            return RejectCode(state)
        refusals = {fault.refusal for fault in machine_faults(self._faults, self._menu) if fault.closes_all}
        return next((code for code in _RINSE_STOPPERS if code in refusals), None)

    def _verdict(self, order_uuid: str, refused: RejectCode | None, *, dup: bool) -> None:
        reply = MakeReply(order_uuid=order_uuid, ok=refused is None, boot_id=self._voice.boot_id)
        if dup or refused is None:
            reply = msgspec.structs.replace(reply, dup=dup)
        if refused:
            reply = msgspec.structs.replace(reply, code=refused)
        self._voice.reply(reply)

    def _can(self, capability: str) -> bool:
        return not self._faults.is_on(without(capability))


def _object(body: bytes) -> dict[str, Any]:
    try:
        decoded = json_text.decode(body, object)
    except json_text.NotJson:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _only_size_is_wrong(body: dict[str, Any]) -> bool:
    if "textFlag" not in body:
        return False
    try:
        from_frame(Frame(MakeDrink.command, msgspec.json.encode({**body, "textFlag": 0})))
    except Malformed:
        return False
    return True
