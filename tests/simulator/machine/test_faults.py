"""When a switch strikes, how it is set from text, and what each switch of the wire does to frames."""

from random import Random

import pytest

from protocol.errors import Malformed, UnknownKind
from protocol.machine import (
    DoneEvent,
    FaultEvent,
    Heartbeat,
    HelloReply,
    ProgressEvent,
    Status,
    from_frame,
    to_frame,
)
from protocol.reasons import Phase
from simulator.machine import Faults, Setting, When, parse_setting, setting_of
from simulator.machine.faults import BadSetting, UnknownSwitch
from simulator.machine.framing import FrameDecoder, encode
from simulator.machine.switches import SWITCHES, without
from tests.simulator.machine.rig import LONG_ENOUGH_S, QUICK, Rig, frame_of, of_kind

HELLO = frame_of(0x20, '{"msgId":1,"proto":1}')


def strikes(faults: Faults, times: int) -> list[bool]:
    return [faults.fires("drop_done") is not None for _ in range(times)]


def test_every_switch_has_a_name_and_a_sentence_in_both_languages() -> None:
    assert all(switch.name == name and switch.says and switch.says_ru for name, switch in SWITCHES.items())
    assert len({switch.name for switch in SWITCHES.values()}) == len(SWITCHES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop_done", [True, False, False, False]),
        ("drop_done:once=3", [False, False, True, False]),
        ("drop_done:every=2", [False, True, False, True]),
        ("drop_done:on", [True, True, True, True]),
        ("drop_done:chance=0", [False, False, False, False]),
        ("drop_done:chance=1", [True, True, True, True]),
    ],
)
def test_a_switch_strikes_as_it_is_set(text: str, expected: list[bool]) -> None:
    faults = Faults(Random(1))
    faults.turn_on(*parse_setting(text))
    assert strikes(faults, 4) == expected


def test_chance_is_the_same_for_the_same_seed() -> None:
    runs = []
    for seed in (5, 5, 6):
        faults = Faults(Random(seed))
        faults.turn_on("drop_done", setting_of("drop_done", "chance", chance=0.5))
        runs.append(strikes(faults, 64))
    assert runs[0] == runs[1] != runs[2]


def test_options_are_read_from_text() -> None:
    assert parse_setting("delay_frame:once,seconds=1.5,command=0xA2") == (
        "delay_frame",
        Setting(When.ONCE, seconds=1.5, command=0xA2),
    )


@pytest.mark.parametrize(
    "text",
    [
        "drop_done:sometimes",
        "drop_done:every=0",
        "drop_done:chance=2",
        "no_water:sometimes",
        "slow:seconds=-1",
        "garbage:x=1",
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_setting(text)


def test_a_switch_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownSwitch):
        parse_setting("coffee_everywhere")
    with pytest.raises(UnknownSwitch):
        Faults(Random(1)).clear("coffee_everywhere")


def test_a_lasting_switch_with_seconds_ends_by_itself() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("no_water", setting_of("no_water", seconds=3), now=rig.now)
    events = [event.on for event in rig.wait(10) if isinstance(event, FaultEvent)]
    assert events == [True, False]


@pytest.mark.parametrize("switch", ["corrupt_crc", "corrupt_length", "corrupt_tail"])
def test_a_corrupted_frame_is_not_accepted_and_the_next_one_is(switch: str) -> None:
    rig = Rig()
    rig.faults.turn_on(switch)
    spoilt = rig.bytes_after(HELLO)
    assert spoilt
    assert FrameDecoder().feed(spoilt) == []
    assert of_kind(HelloReply, rig.hear(HELLO))


def test_garbage_comes_before_a_good_frame() -> None:
    rig = Rig()
    clean = rig.bytes_after(HELLO)
    rig.faults.turn_on("garbage")
    noisy = rig.bytes_after(HELLO)
    assert noisy.endswith(clean)
    assert len(noisy) > len(clean)


def test_split_frames_leave_byte_by_byte_and_keep_their_order() -> None:
    rig = Rig()
    clean = rig.bytes_after(HELLO)
    rig.faults.turn_on("split_bytes")
    pieces = list(rig.wire.turn(rig.now, HELLO + encode(to_frame(Status(msg_id=2)))).pieces)
    while len(pieces) < len(clean) + 1:
        rig.now += 0.001
        pieces += rig.wire.turn(rig.now).pieces
    assert [len(piece) for piece in pieces[: len(clean)]] == [1] * len(clean)
    assert b"".join(pieces[: len(clean)]) == clean
    assert from_frame(FrameDecoder().feed(pieces[-1])[0]).command == 0xA1


def test_a_delayed_frame_is_overtaken() -> None:
    rig = Rig()
    rig.faults.turn_on("delay_frame", setting_of("delay_frame", seconds=1, command=0xA0))
    assert rig.hear(HELLO) == []
    assert rig.tell(Status(msg_id=2))
    assert of_kind(HelloReply, rig.wait(1))


def test_a_delayed_frame_is_lost_with_the_power() -> None:
    rig = Rig()
    rig.faults.turn_on("delay_frame", setting_of("delay_frame", seconds=1, command=0xA0))
    rig.hear(HELLO)
    rig.wire.cut_power(rig.now)
    assert not of_kind(HelloReply, rig.wait(LONG_ENOUGH_S))


def test_progress_can_come_out_of_order() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("reorder_progress", setting_of("reorder_progress", n=3))
    rig.make()
    events = [event.evt for event in rig.wait(LONG_ENOUGH_S) if isinstance(event, ProgressEvent)]
    assert events != sorted(events)
    assert len(events) == len(set(events))


def test_events_can_come_twice() -> None:
    rig = Rig(deaf=False)
    rig.make()
    rig.faults.turn_on("duplicate_events", setting_of("duplicate_events", command=0xC2))
    done = of_kind(DoneEvent, rig.wait(LONG_ENOUGH_S))
    assert len(done) == 2
    assert done[0] == done[1]


def test_a_lost_done_comes_again_by_itself() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("drop_done")
    rig.make()
    assert not of_kind(DoneEvent, rig.wait(QUICK.brew_s))
    assert len(of_kind(DoneEvent, rig.wait(LONG_ENOUGH_S))) == 1


def test_unknown_keys_change_nothing_for_a_tolerant_reader() -> None:
    rig = Rig()
    (plain,) = rig.hear(HELLO)
    rig.faults.turn_on("unknown_keys")
    assert rig.hear(HELLO) == [plain]


def test_an_unknown_frame_comes_before_a_known_one() -> None:
    rig = Rig()
    rig.faults.turn_on("unknown_command")
    unknown, known = FrameDecoder().feed(rig.bytes_after(HELLO))
    with pytest.raises(UnknownKind):
        from_frame(unknown)
    assert isinstance(from_frame(known), HelloReply)


def test_a_silent_machine_pours_nothing_and_a_mute_one_pours() -> None:
    for switch, cups in (("silent", []), ("mute", [1.0])):
        rig = Rig()
        rig.faults.turn_on(switch)
        assert rig.make() == []
        assert rig.wait(LONG_ENOUGH_S) == []
        assert rig.cups() == cups


def test_a_machine_hung_inside_a_frame_still_sleeps() -> None:
    rig = Rig()
    rig.hear(HELLO[:8])
    rig.faults.turn_on("silent")
    rig.now += 1
    assert rig.wire.turn(rig.now).wake_at > rig.now


def test_heartbeats_flood() -> None:
    rig = Rig()
    rig.faults.turn_on("flood_heartbeats")
    assert len(of_kind(Heartbeat, rig.wait(1))) > 50


def test_a_slow_machine_takes_five_times_as_long() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("slow")
    rig.make()
    assert not of_kind(DoneEvent, rig.wait(QUICK.brew_s * 4.9))
    assert of_kind(DoneEvent, rig.wait(QUICK.brew_s * 0.2))


def test_done_for_an_order_nobody_gave_comes_beside_ours() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("done_for_other_order")
    rig.make()
    orders = [event.order_uuid for event in rig.wait(LONG_ENOUGH_S) if isinstance(event, DoneEvent)]
    assert orders == ["order-of-nobody", "o1"]
    assert rig.cups() == [1.0]


def test_a_local_drink_and_a_double_count_disturb_the_counters_and_not_our_cup() -> None:
    rig = Rig()
    rig.faults.turn_on("local_drink")
    rig.faults.turn_on("count_twice", setting_of("count_twice", n=2))
    rig.make()
    rig.wait(LONG_ENOUGH_S)
    assert rig.memory.counters.total == 3
    assert (rig.cups(), rig.cups(None)) == ([1.0], [1.0])


def test_a_drink_fails_half_poured() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("fail_mid_brew")
    rig.make()
    rig.wait(LONG_ENOUGH_S)
    answer = rig.ask()
    assert (answer.phase, answer.out) == (Phase.FAILED, "partial")
    assert rig.cups() == [pytest.approx(1 / 3, abs=0.01)]


def test_a_warning_comes_and_goes_while_it_pours() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on("fault_mid_brew")
    rig.make()
    said = rig.wait(LONG_ENOUGH_S)
    assert [event.on for event in said if isinstance(event, FaultEvent)] == [True, False]
    assert rig.cups() == [1.0]


def test_a_machine_without_dedup_pours_a_repeated_order_again() -> None:
    rig = Rig(deaf=False)
    rig.faults.turn_on(without("dedup"))
    for _ in range(2):
        rig.make()
        rig.wait(LONG_ENOUGH_S)
    assert rig.cups() == [1.0, 1.0]


def test_the_cable_falls_out_for_a_while_in_the_middle_of_a_pour() -> None:
    rig = Rig()
    rig.faults.turn_on("unplug_mid_brew")
    rig.make()
    rig.wait(QUICK.brew_s / 2)
    assert rig.faults.is_on("unplugged")
    rig.wait(3)
    assert not rig.faults.is_on("unplugged")


def test_a_corrupted_answer_is_never_read_as_another_message() -> None:
    rig = Rig()
    rig.faults.turn_on("corrupt_crc", setting_of("corrupt_crc", "on"))
    for frame in FrameDecoder().feed(rig.bytes_after(HELLO * 20)):
        with pytest.raises((Malformed, UnknownKind)):
            from_frame(frame)
