"""What the machine answers and does, request by request, on a clock of the test's own."""

from itertools import pairwise

import pytest

from protocol.machine import (
    Booted,
    CancelDrink,
    CancelReply,
    CountersQuery,
    CountersReply,
    DoneEvent,
    EventAck,
    FailedEvent,
    FaultEvent,
    Heartbeat,
    HelloReply,
    LinkNak,
    MachineMessage,
    ProgressEvent,
    Rinse,
    RinseReply,
    Status,
    StatusReply,
    to_frame,
)
from protocol.reasons import FaultLevel, MachineState, Phase, RejectCode, Spout, Stage
from simulator.machine import Timing
from simulator.machine.framing import encode
from simulator.machine.jobs import Sale
from simulator.machine.switches import reject, without
from tests.simulator.machine.rig import LONG_ENOUGH_S, QUICK, Rig, frame_of, of_kind


@pytest.fixture
def rig() -> Rig:
    return Rig(deaf=False)


def cancel(rig: Rig, order_uuid: str = "o1") -> CancelReply:
    said = rig.tell(CancelDrink(msg_id=3, order_uuid=order_uuid))
    return next(message for message in said if isinstance(message, CancelReply))


def status(rig: Rig) -> StatusReply:
    return next(message for message in rig.tell(Status(msg_id=2)) if isinstance(message, StatusReply))


def test_a_drink_goes_through_its_stages_and_is_counted_before_done_is_said(rig: Rig) -> None:
    (verdict,) = rig.make(drink_no="cappuccino")
    assert verdict.ok
    said = rig.wait(LONG_ENOUGH_S)
    stages = [event.stage for event in said if isinstance(event, ProgressEvent)]
    assert list(dict.fromkeys(stages)) == [Stage.GRIND, Stage.BREW, Stage.MILK, Stage.MIX, Stage.SERVE]
    percents = [event.pct for event in said if isinstance(event, ProgressEvent)]
    assert percents == sorted(percents)
    assert [event.total for event in said if isinstance(event, DoneEvent)] == [1]
    assert rig.cups() == [1.0]
    assert (rig.ask().phase, rig.ask().out) == (Phase.DONE, Spout.FULL)


def test_a_lost_verdict_leaves_an_order_that_status_names(rig: Rig) -> None:
    rig.faults.turn_on("drop_verdict")
    assert rig.make() == []
    assert status(rig).state is MachineState.BREWING
    assert status(rig).order_uuid == "o1"


def test_a_repeated_make_gets_the_same_verdict_and_starts_nothing(rig: Rig) -> None:
    rig.make()
    (while_pouring,) = rig.make()
    rig.wait(LONG_ENOUGH_S)
    (afterwards,) = rig.make()
    rig.wait(LONG_ENOUGH_S)
    for verdict in (while_pouring, afterwards):
        assert (verdict.ok, verdict.dup) == (True, True)
    assert rig.cups() == [1.0]


def test_a_repeated_refused_make_is_refused_alike_after_the_cause_is_gone(rig: Rig) -> None:
    rig.faults.turn_on("no_water")
    rig.make()
    rig.faults.clear("no_water")
    (verdict,) = rig.make()
    assert (verdict.ok, verdict.dup, verdict.code) == (False, True, RejectCode.NO_WATER)


@pytest.mark.parametrize("code", list(RejectCode))
def test_each_reject_code_can_be_given_and_nothing_moves(rig: Rig, code: RejectCode) -> None:
    rig.faults.turn_on(reject(code))
    (verdict,) = rig.make()
    assert (verdict.ok, verdict.code) == (False, code)
    rig.wait(LONG_ENOUGH_S)
    assert rig.cups() == []
    assert rig.memory.counters.total == 0


@pytest.mark.parametrize(
    ("condition", "drink", "code"),
    [
        ("no_water", "tea", RejectCode.NO_WATER),
        ("no_beans", "latte", RejectCode.NO_BEANS),
        ("no_milk", "latte", RejectCode.NO_MILK),
        ("no_ingredient", "cocoa", RejectCode.NO_INGREDIENT),
        ("door_open", "tea", RejectCode.DOOR_OPEN),
        ("waste_full", "tea", RejectCode.WASTE_FULL),
        ("cup_jam", "tea", RejectCode.FAULT),
        ("grinder", "espresso", RejectCode.FAULT),
        ("heating", "tea", RejectCode.HEATING),
        ("service", "tea", RejectCode.SERVICE),
        ("rinse_needed", "tea", RejectCode.RINSE_NEEDED),
        ("no_beans", "tea", None),
        ("no_milk", "espresso", None),
        ("descale", "tea", None),
        ("vendor_fault", "tea", None),
    ],
)
def test_a_condition_closes_the_drinks_it_concerns(
    rig: Rig, condition: str, drink: str, code: RejectCode | None
) -> None:
    rig.faults.turn_on(condition)
    (verdict,) = rig.make(drink_no=drink)
    assert verdict.ok is (code is None)
    if code:
        assert verdict.code == code


def test_a_second_order_is_refused_as_busy(rig: Rig) -> None:
    rig.make("o1")
    (verdict,) = rig.make("o2")
    assert verdict.code == RejectCode.BUSY


def test_an_unknown_drink_is_refused(rig: Rig) -> None:
    (verdict,) = rig.make(drink_no="beer")
    assert verdict.code == RejectCode.BAD_DRINK


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"orderUuid":"o1","drinkNo":"tea","textFlag":"7","price":100}', RejectCode.BAD_SIZE),
        ('{"orderUuid":"o1","drinkNo":"tea","price":100}', RejectCode.BAD_BODY),
        ('{"orderUuid":"o1","drinkNo":"tea","textFlag":"1","price":"much"}', RejectCode.BAD_BODY),
        ('{"orderUuid":"o1","textFlag":"7","price":100}', RejectCode.BAD_BODY),
    ],
)
def test_a_make_with_a_wrong_body_is_refused_by_name(rig: Rig, body: str, code: RejectCode) -> None:
    said = rig.hear(frame_of(0x22, body))
    assert [getattr(message, "code", None) for message in said] == [code]
    assert rig.ask().phase is Phase.UNKNOWN


def test_a_make_that_names_no_order_is_a_fault_of_the_link(rig: Rig) -> None:
    assert rig.hear(frame_of(0x22, '{"drinkNo":"tea"}')) == [LinkNak(why="json")]


def test_both_spellings_of_a_size_are_read(rig: Rig) -> None:
    said = rig.hear(frame_of(0x22, '{"orderUuid":"o1","drinkNo":"tea","textFlag":2,"price":100}'))
    assert getattr(said[0], "ok", None) is True


def test_cancelling_before_anything_moves_leaves_no_cup(rig: Rig) -> None:
    rig.make()
    reply = cancel(rig)
    assert (reply.ok, reply.phase) == (True, Phase.CANCELLED)
    rig.wait(LONG_ENOUGH_S)
    assert rig.cups() == []
    assert cancel(rig).ok
    assert status(rig).state is MachineState.READY


def test_cancelling_after_beans_moved_is_too_late(rig: Rig) -> None:
    rig.make()
    rig.wait(QUICK.brew_s / 2)
    reply = cancel(rig)
    assert (reply.ok, reply.code, reply.phase) == (False, RejectCode.TOO_LATE, Phase.BREWING)
    rig.wait(LONG_ENOUGH_S)
    assert rig.cups() == [1.0]


def test_cancelling_an_order_never_seen_says_so(rig: Rig) -> None:
    reply = cancel(rig, "nobody's")
    assert (reply.ok, reply.phase) == (False, Phase.UNKNOWN)


def test_an_order_never_seen_is_unknown_with_proof(rig: Rig) -> None:
    reply = rig.ask("nobody's")
    assert (reply.phase, reply.hist) == (Phase.UNKNOWN, "nv")


def test_a_free_drink_and_a_test_drink_are_counted_apart(rig: Rig) -> None:
    rig.make(price=0)
    rig.wait(LONG_ENOUGH_S)
    assert rig.machine.local_drink(rig.now, "tea", Sale.TEST)
    rig.wait(LONG_ENOUGH_S)
    counters = next(said for said in rig.tell(CountersQuery(msg_id=5)) if isinstance(said, CountersReply))
    assert (counters.total, counters.paid, counters.free, counters.test) == (2, 0, 1, 1)
    assert counters.by_drink == {"americano": 1}
    assert rig.cups(None) == [1.0]


def test_a_local_drink_makes_the_machine_busy(rig: Rig) -> None:
    assert rig.machine.local_drink(rig.now, "tea", Sale.PAID)
    (verdict,) = rig.make()
    assert verdict.code == RejectCode.BUSY
    assert not rig.machine.local_drink(rig.now, "tea", Sale.PAID)


def test_a_rinse_ends_with_done_and_cures_the_need_for_it(rig: Rig) -> None:
    rig.faults.turn_on("rinse_needed")
    assert rig.tell(Rinse(msg_id=6, job_uuid="r1", kind="rinse")) == [
        RinseReply(msg_id=6, job_uuid="r1", ok=True, boot_id="b7")
    ]
    assert status(rig).state is MachineState.RINSING
    done = [event for event in rig.wait(QUICK.rinse_s) if isinstance(event, DoneEvent)]
    assert [event.job_uuid for event in done] == ["r1"]
    (verdict,) = rig.make()
    assert verdict.ok


def test_a_repeated_rinse_starts_nothing_and_a_rinse_while_pouring_is_refused(rig: Rig) -> None:
    rig.tell(Rinse(msg_id=6, job_uuid="r1", kind="clean"))
    assert status(rig).state is MachineState.CLEANING
    rig.wait(LONG_ENOUGH_S)
    assert of_kind(RinseReply, rig.tell(Rinse(msg_id=7, job_uuid="r1", kind="clean")))
    assert status(rig).state is MachineState.READY
    rig.make()
    refused = rig.tell(Rinse(msg_id=8, job_uuid="r2", kind="rinse"))
    assert [getattr(message, "code", None) for message in refused] == [RejectCode.BUSY]


def test_a_fault_that_closes_the_drink_ends_it_and_says_what_came_out(rig: Rig) -> None:
    rig.make()
    rig.wait(QUICK.brew_s / 2)
    rig.faults.turn_on("no_water")
    said = rig.wait(0.01)
    assert [(event.code, event.out) for event in said if isinstance(event, FailedEvent)] == [
        ("no_water", Spout.PARTIAL)
    ]
    assert rig.cups()[0] == pytest.approx(1 / 3, abs=0.05)
    assert rig.memory.counters.total == 0


def test_a_fault_of_another_drink_lets_this_one_finish(rig: Rig) -> None:
    rig.make(drink_no="espresso")
    rig.faults.turn_on("no_milk")
    rig.wait(LONG_ENOUGH_S)
    assert rig.cups() == [1.0]


def test_faults_are_told_when_they_come_and_when_they_go(rig: Rig) -> None:
    rig.faults.turn_on("no_water")
    (came,) = [event for event in rig.wait(0) if isinstance(event, FaultEvent)]
    assert (came.code, came.on, came.level, came.drinks) == ("no_water", True, FaultLevel.BLOCK, [])
    assert status(rig).faults == ["no_water"]
    assert status(rig).state is MachineState.FAULT
    rig.faults.clear("no_water")
    (went,) = [event for event in rig.wait(0) if isinstance(event, FaultEvent)]
    assert (went.code, went.on) == ("no_water", False)
    assert status(rig).faults == []


def test_a_vendor_fault_passes_through(rig: Rig) -> None:
    rig.faults.turn_on("vendor_fault")
    rig.wait(0)
    assert status(rig).faults == ["vendor:e17"]


def test_an_outcome_is_repeated_until_it_is_acknowledged() -> None:
    rig = Rig()
    boot = next(event for event in rig.booted if isinstance(event, Booted))
    rig.tell(EventAck(boot_id="b7", evt=boot.evt))
    rig.make()
    said_at: list[float] = []
    evt = 0
    while len(said_at) < 8:
        done = [event for event in rig.wait(0.5) if isinstance(event, DoneEvent)]
        said_at += [rig.now] * len(done)
        evt = done[0].evt if done else evt
    gaps = [later - earlier for earlier, later in pairwise(said_at)]
    assert gaps == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.51)
    rig.tell(EventAck(boot_id="another", evt=evt))
    assert of_kind(DoneEvent, rig.wait(31))
    rig.tell(EventAck(boot_id="b7", evt=evt))
    assert not of_kind(DoneEvent, rig.wait(100))


def test_the_heart_beats_every_five_seconds(rig: Rig) -> None:
    beats = [event.up for event in rig.wait(20) if isinstance(event, Heartbeat)]
    assert beats == [5, 10, 15, 20]


def test_a_machine_that_heats_refuses_and_then_pours() -> None:
    rig = Rig(timing=Timing(heating_s=5.0))
    assert status(rig).state is MachineState.HEATING
    (cold,) = rig.make("o1")
    rig.wait(5)
    (warm,) = rig.make("o2")
    assert (cold.code, warm.ok) == (RejectCode.HEATING, True)


def test_unknown_and_backward_frames_get_a_nak_at_most_twice_a_second(rig: Rig) -> None:
    backwards: MachineMessage = Heartbeat(boot_id="b7", state=MachineState.READY, up=1)
    frames = frame_of(0x3A, "{}") * 5 + encode(to_frame(backwards))
    assert rig.hear(frames) == [LinkNak(why="cmd")] * 2
    rig.wait(1)
    assert rig.hear(frame_of(0x3A, "{}")) == [LinkNak(why="cmd")]


def test_a_nak_is_never_answered(rig: Rig) -> None:
    assert rig.tell(LinkNak(why="crc")) == []


def test_a_frame_that_stops_half_way_costs_a_nak_and_not_the_next_frame(rig: Rig) -> None:
    whole = encode(to_frame(Status(msg_id=2)))
    assert rig.hear(whole[:9]) == []
    assert rig.wait(0.2) == [LinkNak(why="len")]
    assert status(rig).state is MachineState.READY


@pytest.mark.parametrize("capability", ["order", "counters", "cancel", "rinse"])
def test_a_capability_the_machine_lacks_is_not_in_its_hello_and_its_request_is_unknown(
    rig: Rig, capability: str
) -> None:
    rig.faults.turn_on(without(capability))
    (hello,) = rig.hear(frame_of(0x20, '{"msgId":1,"proto":1}'))
    assert isinstance(hello, HelloReply)
    assert capability not in hello.caps
    bodies = {
        "order": frame_of(0x24, '{"msgId":1,"orderUuid":"o1"}'),
        "counters": frame_of(0x25, '{"msgId":1}'),
        "cancel": frame_of(0x23, '{"msgId":1,"orderUuid":"o1"}'),
        "rinse": frame_of(0x26, '{"msgId":1,"jobUuid":"r","kind":"rinse"}'),
    }
    assert rig.hear(bodies[capability]) == [LinkNak(why="cmd")]


def test_a_machine_that_only_acknowledges_pours_in_silence(rig: Rig) -> None:
    for capability in ("progress", "finish"):
        rig.faults.turn_on(without(capability))
    (verdict,) = rig.make()
    assert verdict.ok
    assert not [event for event in rig.wait(LONG_ENOUGH_S) if not isinstance(event, Heartbeat)]
    assert rig.cups() == [1.0]
