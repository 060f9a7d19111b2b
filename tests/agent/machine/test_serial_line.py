"""What a serial line does to an agent, with real bytes on a pty: noise, halves, silence, floods, and ports that go."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.machine import serial_port as port_module
from agent.machine.conversation import Closed, LineLost, Opened
from agent.machine.profile import Profile, Serial
from agent.machine.serial_port import MAX_QUEUE, open_port
from agent.machine.timers import Timers
from protocol.frames import Frame
from protocol.machine import (
    Heartbeat,
    Hello,
    MachineMessage,
    from_frame,
    to_frame,
)
from protocol.reasons import MachineState, Result
from simulator.machine import MachineSimulator, Timing
from simulator.machine.framing import FrameDecoder, encode
from tests.agent.answering import Answering, wire
from tests.agent.pty_rig import Cable, Rig
from tests.waiting import wait_until

QUICK = Timers(inter_byte_gap=0.05, make_verdict=0.5, query_reply=0.3, gate_patience=3.0, unknown_deadline=20.0)
PROFILE = Profile(name="companion-v1", timers=QUICK)
BEAT = Heartbeat(boot_id="b7", state=MachineState.READY, up=1)
PATIENT = 60.0
"""Tries come ever more seldom, on a busy machine before a test has come round."""


def with_wrong_crc(message: MachineMessage) -> bytes:
    data = bytearray(wire(message))
    data[5] ^= 0x5A
    return bytes(data)


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path / "usb-machine")
    made.plug()
    yield made
    made.pull()


@contextmanager
def a_rig(folder: Path, port: str, profile: Profile = PROFILE) -> Iterator[Rig]:
    rig = Rig(folder, port, profile)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture
def rig(cable: Cable, tmp_path: Path) -> Iterator[Rig]:
    with a_rig(tmp_path / "state", str(cable.name)) as made:
        made.wait_open()
        yield made


@pytest.fixture
def answering(cable: Cable) -> Iterator[Answering]:
    made = Answering(cable)
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineSimulator]:
    timing = Timing(brew_s=1.0, boot_s=0.05, heating_s=0.0, heartbeat_s=0.3)
    with MachineSimulator(tty=tmp_path / "by-id", http=None, timing=timing) as running:
        yield running


def frames(rig: Rig) -> Callable[[], list[Frame]]:
    news: list[object] = []

    def taken() -> list[Frame]:
        news.extend(rig.line.take_news())
        return [one for one in news if isinstance(one, Frame)]

    return taken


# What arrives


def test_noise_of_every_byte_costs_no_frame(cable: Cable, rig: Rig) -> None:
    taken = frames(rig)
    noise = bytes(range(256)) * 4
    os.write(cable.machine, noise + wire(BEAT) + noise[:100] + wire(BEAT))
    wait_until(lambda: len(taken()) == 2, what="both frames")


def test_half_a_frame_is_given_up_and_the_next_one_heard(cable: Cable, rig: Rig) -> None:
    taken = frames(rig)
    whole = wire(BEAT)
    os.write(cable.machine, whole[: len(whole) // 2])
    wait_until(lambda: rig.line.error_ratio() > 0, what="the half frame to be given up")
    os.write(cable.machine, whole)
    wait_until(lambda: len(taken()) == 1, what="the whole frame")


def test_a_wrong_crc_is_dropped_and_counted(cable: Cable, rig: Rig) -> None:
    taken = frames(rig)
    os.write(cable.machine, with_wrong_crc(BEAT) + wire(BEAT))
    wait_until(lambda: len(taken()) == 1, what="the good frame")
    assert rig.line.error_ratio() == 0.5


def test_a_false_header_does_not_hold_up_frames_that_drip_in_without_a_pause(cable: Cable, tmp_path: Path) -> None:
    patient = replace_timers(inter_byte_gap=60.0, whole_frame=0.3)
    with a_rig(tmp_path / "state", str(cable.name), patient) as rig:
        rig.wait_open()
        taken = frames(rig)
        os.write(cable.machine, b"\xaa\x55\x01\x0f\xff" + wire(BEAT))  # it claims 4095 bytes
        dripped = 0

        def drip() -> bool:
            nonlocal dripped
            dripped += os.write(cable.machine, b"\x00")
            return bool(taken())

        wait_until(drip, what="the frame behind the false header")
        assert dripped < 4000, "it was only heard when all that the false header claimed had come"


def replace_timers(**timers: float) -> Profile:
    return Profile(name="companion-v1", timers=Timers(**timers))  # type: ignore[arg-type]  # names are the timers' own


def test_a_flood_fills_no_memory_and_stops_no_frame_after_it(cable: Cable, rig: Rig) -> None:
    flood = wire(BEAT) * 200
    for _ in range(20):
        os.write(cable.machine, flood)
    wait_until(lambda: len(rig.line._news) == MAX_QUEUE, what="a full queue")
    assert len(rig.line.take_news()) <= MAX_QUEUE
    taken = frames(rig)
    last = Heartbeat(boot_id="after", state=MachineState.READY, up=1)

    def heard_again() -> bool:
        os.write(cable.machine, wire(last))
        return to_frame(last) in taken()

    wait_until(heard_again, what="a frame after the flood")


def test_a_silent_machine_is_down_and_nothing_is_sold(cable: Cable, rig: Rig) -> None:
    rig.run_until(lambda: rig.driver.is_open, what="the port to open")
    rig.order()
    outcome = rig.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "machine_offline")
    assert rig.live_state.view.link == "down"
    assert rig.beats > 0


@pytest.mark.parametrize("is_plugged", [True, False])
def test_the_reader_comes_round_while_the_line_is_silent_or_gone(cable: Cable, rig: Rig, is_plugged: bool) -> None:
    if not is_plugged:
        cable.pull()
    before = rig.beats
    wait_until(lambda: rig.beats > before + 2, what="beats")


def test_the_reader_queues_frames_that_nobody_understands(cable: Cable, rig: Rig) -> None:
    """Meaning is the worker's: the reader does bytes, frames and the queue."""
    taken = frames(rig)
    os.write(cable.machine, encode(Frame(0x7B, b'{"x":1}')))
    wait_until(lambda: taken() == [Frame(0x7B, b'{"x":1}')], what="the unknown frame")


def test_the_share_of_damaged_frames_is_on_the_board(cable: Cable, rig: Rig, answering: Answering) -> None:
    rig.run_until_ready()
    for _ in range(20):
        os.write(cable.machine, with_wrong_crc(BEAT))
    rig.run_until(lambda: rig.live_state.view.frame_error_ratio > 0.3, what="the ratio on the live state")


# Ports that go


def test_a_port_pulled_in_mid_pour_comes_back_as_another_and_the_drink_is_told(
    machine: MachineSimulator, tmp_path: Path
) -> None:
    with a_rig(tmp_path / "state", machine.tty) as rig:
        rig.run_until_ready()
        before = os.readlink(machine.tty)
        machine.controls.switch_on("unplug_mid_brew")
        rig.order()
        rig.run_until(lambda: rig.live_state.view.link == "down", what="the loss")
        assert rig.outcome().result is Result.DONE
        assert os.readlink(machine.tty) != before
    assert machine.cups("o1") == 1


def test_after_each_opening_the_machine_is_greeted_anew(cable: Cable, rig: Rig, answering: Answering) -> None:
    rig.run_until_ready()
    assert answering.greetings() >= 1
    answering.close()
    cable.pull()
    rig.run_until(lambda: rig.live_state.view.link == "down", what="the loss")
    cable.plug()
    another = Answering(cable)
    another.boot_id = "b8"
    try:
        rig.run_until_ready()
        assert another.greetings() >= 1
        assert rig.driver.boot_id == "b8"
    finally:
        another.close()


def test_an_input_output_error_closes_the_port_and_it_is_opened_again(cable: Cable, rig: Rig) -> None:
    os.close(cable.machine)  # the far end hangs up: every read says EIO from now on
    news: list[object] = []

    def is_lost() -> bool:
        news.extend(rig.line.take_news())
        return any(isinstance(one, Closed) for one in news)

    wait_until(is_lost, what="the loss")
    with pytest.raises(LineLost) as lost:
        rig.line.send(to_frame(Hello(msg_id=1)), 1)
    assert lost.value.wrote_nothing
    os.close(cable._end)
    cable.machine = -1
    cable.name.unlink()
    cable.plug()
    wait_until(
        lambda: any(isinstance(one, Opened) for one in rig.line.take_news()), PATIENT, what="the port to open again"
    )


def test_a_port_that_may_not_be_opened_is_tried_until_it_may(
    cable: Cable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_rig(tmp_path / "state", str(tmp_path / "not-yet")) as rig:
        with a_port_nobody_may_open(cable, tmp_path / "not-yet"):
            wait_until(lambda: "Permission denied" in caplog.text, what="the refusal")
            before = rig.beats
            wait_until(lambda: rig.beats > before + 2, what="further tries")
            assert rig.line.take_news() == []
        wait_until(lambda: Opened(1) in rig.line.take_news(), PATIENT, what="the port to open")


@contextmanager
def a_port_nobody_may_open(cable: Cable, name: Path) -> Iterator[None]:
    """Root may open everything, so root becomes nobody for a while, to whom the folder of the name is shut."""
    os.chmod(cable.device, 0)
    is_root = os.getuid() == 0
    if is_root:
        os.chmod(name.parent, 0o700)
        os.seteuid(65534)
    else:
        os.symlink(cable.device, name)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        os.chmod(cable.device, 0o600)
        if is_root:
            os.symlink(cable.device, name)


HOLDER = """
import sys
from agent.machine.serial_port import open_port
from agent.machine.profile import load
port = open_port(sys.argv[1], load("companion-v1"))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_port_held_by_another_process_is_not_shared(
    cable: Cable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = [sys.executable, "-c", HOLDER, str(cable.name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with a_rig(tmp_path / "state", str(cable.name)) as rig:
            wait_until(lambda: "cannot open" in caplog.text, what="the refusal")
            assert rig.line.take_news() == []
            holder.communicate("")
            wait_until(
                lambda: Opened(1) in rig.line.take_news(), PATIENT, what="the port to open once the other has gone"
            )


def test_a_killed_owner_leaves_no_lock_behind(cable: Cable) -> None:
    command = [sys.executable, "-c", HOLDER, str(cable.name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(OSError, match="lock"):
            open_port(str(cable.name), PROFILE)
        holder.kill()
    open_port(str(cable.name), PROFILE).close()


def test_tries_come_more_and_more_seldom_and_never_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with a_rig(tmp_path / "state", str(tmp_path / "nothing")) as rig:
        asked: list[float] = []

        def passed(seconds: float) -> bool:
            asked.append(seconds)
            return False

        monkeypatch.setattr(rig.line._stopping, "wait", passed)
        now = rig.clock.monotonic()
        monkeypatch.setattr(rig.clock, "monotonic", lambda: now + sum(asked))
        rig.line._pause(0)
        first, asked[:] = sum(asked), []
        rig.line._pause(port_module.QUICK_TRIES + 2)
        later, asked[:] = sum(asked), []
        rig.line._pause(10_000)
        assert first == pytest.approx(port_module.QUICK_PAUSE_S)
        assert first < later < sum(asked) <= port_module.LONGEST_PAUSE_S * 1.3
        asked.clear()


class HeldUp:
    """A port whose far end never says that it may be sent to; no pty can do that."""

    out_waiting = 100

    def __init__(self) -> None:
        self.thrown_away = False

    def write(self, data: bytes) -> int:
        return len(data)

    def reset_output_buffer(self) -> None:
        self.thrown_away = True


def test_what_a_machine_does_not_take_is_not_kept_for_later(cable: Cable, tmp_path: Path) -> None:
    profile = Profile(name="x", serial=Serial(flow="rtscts"))
    with a_rig(tmp_path / "state", str(cable.name), profile) as rig:
        rig.wait_open()
        held_up = HeldUp()
        rig.line._port = held_up  # type: ignore[assignment]  # stands in for a port
        with pytest.raises(LineLost) as lost:
            rig.line.send(to_frame(Hello(msg_id=1)), 1)
        assert held_up.thrown_away
        assert not lost.value.wrote_nothing


def test_over_a_network_there_is_nothing_to_wait_for_when_the_machine_may_hold_the_line_up(tmp_path: Path) -> None:
    """Regression: such a port does not say what still waits in it; each message was written, and then failed."""
    profile = Profile(name="x", serial=Serial(flow="rtscts"))
    with (
        socket.create_server(("127.0.0.1", 0)) as gateway,
        a_rig(tmp_path / "state", f"socket://127.0.0.1:{gateway.getsockname()[1]}", profile) as rig,
    ):
        far_end, _ = gateway.accept()
        with far_end:
            rig.wait_open()
            rig.line.send(to_frame(Hello(msg_id=1)), 1)
            far_end.settimeout(30)
            assert far_end.recv(100)


# What is left behind


def test_an_unknown_outcome_leaves_the_last_frames_beside_it(machine: MachineSimulator, tmp_path: Path) -> None:
    profile = replace_timers(unknown_deadline=3.0, accepted_to_brewing=1.0, max_brew=2.0, query_reply=0.3)
    with a_rig(tmp_path / "state", machine.tty, profile) as rig:
        rig.run_until_ready()
        machine.controls.switch_on("slow")
        rig.order("c-17")
        rig.run_until(lambda: machine.poured("o1"), what="the pour to begin")
        machine.controls.switch_on("mute")
        assert rig.outcome("c-17").result is Result.UNKNOWN
    (dump,) = (tmp_path / "state" / "frames").glob("*c-17.txt")
    lines = [line.split() for line in dump.read_text().splitlines()]
    said = [from_frame(frame) for _, arrow, data in lines for frame in FrameDecoder().feed(bytes.fromhex(data))]
    assert {arrow for _, arrow, _ in lines} == {"<", ">"}
    assert any(type(one).__name__ == "MakeDrink" for one in said)
