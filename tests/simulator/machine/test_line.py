"""The machine on real lines: a pty opened with pyserial, and a TCP port."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from protocol.machine import (
    CountersReply,
    DoneEvent,
    Hello,
    HelloReply,
    LinkNak,
    MachineMessage,
    MakeDrink,
    MakeReply,
    Status,
    StatusReply,
    from_frame,
    to_frame,
)
from simulator.machine import MachineSimulator, Timing, setting_of
from simulator.machine import wire as wire_module
from simulator.machine.framing import FrameDecoder, encode
from tests.waiting import wait_until

FAST = Timing(brew_s=0.05, rinse_s=0.05, boot_s=0.01, heating_s=0.0)
HELLO = encode(to_frame(Hello(msg_id=1)))


class Host:
    """The other end of the line, as an agent would hold it."""

    def __init__(self, address: str) -> None:
        self.port = serial.serial_for_url(address, timeout=0.02)
        self.said: list[MachineMessage] = []
        self._decoder = FrameDecoder()

    def write(self, data: bytes) -> None:
        self.port.write(data)

    def tell(self, message: MachineMessage) -> None:
        self.write(encode(to_frame(message)))

    def heard(self, kind: type[MachineMessage]) -> bool:
        self.said += [from_frame(frame) for frame in self._decoder.feed(self.port.read(4096))]
        return any(isinstance(message, kind) for message in self.said)

    def wait_for(self, kind: type[MachineMessage]) -> None:
        wait_until(lambda: self.heard(kind), what=f"{kind.__name__} on the line")

    def close(self) -> None:
        self.port.close()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[MachineSimulator]:
    with MachineSimulator(tty=tmp_path / "var" / "machine.tty", http=None, timing=FAST) as running:
        yield running


@pytest.fixture
def plug_in() -> Iterator[Callable[[str], Host]]:
    hosts: list[Host] = []

    def plug(address: str) -> Host:
        hosts.append(Host(address))
        return hosts[-1]

    yield plug
    for host in hosts:
        host.close()


def test_a_drink_is_poured_over_a_real_pty(simulator: MachineSimulator, plug_in: Callable[[str], Host]) -> None:
    host = plug_in(simulator.tty)
    host.tell(MakeDrink(order_uuid="o1", drink_no="americano", text_flag="1", price=14900))
    host.wait_for(MakeReply)
    host.wait_for(DoneEvent)
    assert simulator.cups("o1") == 1
    assert [cup.drink_no for cup in simulator.poured("o1")] == ["americano"]


def test_a_request_written_byte_by_byte_is_answered(
    simulator: MachineSimulator, plug_in: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "INTER_BYTE_GAP_S", 60.0)
    host = plug_in(simulator.tty)
    for byte in HELLO:
        host.write(bytes([byte]))
    host.wait_for(HelloReply)


def test_garbage_and_a_damaged_frame_cost_a_nak_and_not_the_next_request(
    simulator: MachineSimulator, plug_in: Callable[[str], Host]
) -> None:
    host = plug_in(simulator.tty)
    damaged = bytearray(HELLO)
    damaged[8] ^= 0x20
    host.write(b"\x00\xff\xaa\x55noise\x03\x04\x11\x13\r\n" + bytes(damaged))
    host.wait_for(LinkNak)
    host.tell(Status(msg_id=2))
    host.wait_for(StatusReply)


def test_an_answer_split_at_every_byte_arrives_whole(
    simulator: MachineSimulator, plug_in: Callable[[str], Host]
) -> None:
    host = plug_in(simulator.tty)
    simulator.controls.switch_on("split_bytes", setting_of("split_bytes", "on"))
    host.write(HELLO)
    host.wait_for(HelloReply)


def test_unplugged_it_hangs_up_and_comes_back_as_another_pty_under_the_same_link(
    simulator: MachineSimulator, plug_in: Callable[[str], Host]
) -> None:
    link = Path(simulator.tty)
    first = os.readlink(link)
    old = plug_in(simulator.tty)
    simulator.controls.switch_on("unplugged")
    wait_until(lambda: not link.is_symlink(), what="the link to go")

    def hung_up() -> bool:
        try:
            old.port.write(HELLO)
            old.port.read(64)
        except (serial.SerialException, OSError):
            return True
        return False

    wait_until(hung_up, what="the old pty to hang up")
    simulator.controls.switch_off("unplugged")
    wait_until(link.is_symlink, what="the link to come back")
    assert os.readlink(link) != first
    host = plug_in(simulator.tty)
    host.write(HELLO)
    host.wait_for(HelloReply)


def test_an_unplugged_machine_goes_on_pouring(simulator: MachineSimulator, plug_in: Callable[[str], Host]) -> None:
    host = plug_in(simulator.tty)
    simulator.controls.switch_on("unplug_mid_brew", setting_of("unplug_mid_brew", seconds=0.05))
    host.tell(MakeDrink(order_uuid="o1", drink_no="tea", text_flag="1", price=100))
    wait_until(lambda: simulator.cups("o1") == 1, what="the cup to fill")


def test_pulling_the_plug_changes_the_boot(simulator: MachineSimulator) -> None:
    before = simulator.controls.state()
    simulator.controls.cut_power()
    wait_until(lambda: simulator.controls.state()["boots"] == before["boots"] + 1, what="the next boot")
    assert simulator.controls.state()["boot_id"] != before["boot_id"]


def test_a_flood_nobody_reads_does_not_stop_the_machine(simulator: MachineSimulator) -> None:
    simulator.controls.switch_on("flood_heartbeats")
    assert simulator.controls.local_drink("tea")
    wait_until(lambda: len(simulator.poured(None)) == 1 and simulator.poured(None)[0].is_full, what="the cup to fill")


def test_the_link_is_gone_when_the_machine_is(tmp_path: Path) -> None:
    link = tmp_path / "machine.tty"
    with MachineSimulator(tty=link, http=None, timing=FAST):
        assert link.is_symlink()
    assert not link.is_symlink()


def test_two_machines_in_turn_take_over_the_same_link(tmp_path: Path) -> None:
    link = tmp_path / "machine.tty"
    with MachineSimulator(tty=link, http=None, timing=FAST):
        with MachineSimulator(tty=link, http=None, timing=FAST):
            newer = os.readlink(link)
        assert not link.is_symlink()
        assert newer


def test_a_drink_is_poured_over_tcp_and_a_new_caller_takes_the_line(plug_in: Callable[[str], Host]) -> None:
    with MachineSimulator(tcp=0, http=None, timing=FAST) as simulator:
        plug_in(simulator.tty)
        host = plug_in(simulator.tty)
        host.tell(MakeDrink(order_uuid="o1", drink_no="tea", text_flag="0", price=100))
        host.wait_for(DoneEvent)
        assert simulator.cups("o1") == 1


def test_a_tcp_caller_who_hangs_up_is_no_trouble(plug_in: Callable[[str], Host]) -> None:
    with MachineSimulator(tcp=0, http=None, timing=FAST) as simulator:
        plug_in(simulator.tty).close()
        host = plug_in(simulator.tty)
        host.write(encode(to_frame(Hello(msg_id=1))))
        host.wait_for(HelloReply)
        assert not host.heard(CountersReply)


def test_a_machine_has_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        MachineSimulator(tty=tmp_path / "tty", tcp=0)


def test_a_symlink_of_before_is_taken_over_and_no_file_beside_it(tmp_path: Path) -> None:
    tty, beside = tmp_path / "tty", tmp_path / "tty.new"
    tty.symlink_to("gone")
    beside.write_text("somebody's")
    with MachineSimulator(tty=tty, http=None, timing=FAST):
        assert os.readlink(tty).startswith("/dev/")
    assert beside.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [beside]
