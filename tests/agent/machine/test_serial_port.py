"""The serial port on a real pty: pieces, noise, silence, a port that goes and comes back under its name."""

import os
import socket
import termios
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import serial

from agent.clock import Bell, SystemClock
from agent.machine.conversation import Closed, LineLost, LineNews, Opened
from agent.machine.frame_dump import KEEP_DUMPS, FrameDump
from agent.machine.profile import Profile, Serial
from agent.machine.serial_port import CFLAG, SerialLine, open_port
from agent.machine.timers import Timers
from protocol.frames import Frame
from protocol.machine import Heartbeat, Hello, to_frame
from protocol.reasons import MachineState
from simulator.machine.framing import FrameDecoder, encode
from tests.agent.pty_rig import Cable
from tests.waiting import wait_until

BEAT = to_frame(Heartbeat(boot_id="b7", state=MachineState.READY, up=1))


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path / "machine")
    made.plug()
    yield made
    made.pull()


class Heard:
    """Collects what the line tells."""

    def __init__(self, line: SerialLine) -> None:
        self.line = line
        self.news: list[LineNews] = []

    def frames(self) -> list[Frame]:
        self.news += self.line.take_news()
        return [one for one in self.news if isinstance(one, Frame)]

    def count(self, kind: type) -> int:
        self.news += self.line.take_news()
        return sum(isinstance(one, kind) for one in self.news)


@pytest.fixture
def timers() -> Timers:
    """A test with a reason has its own."""
    return Timers(inter_byte_gap=0.05)


@pytest.fixture
def heard(cable: Cable, timers: Timers, tmp_path: Path) -> Iterator[Heard]:
    line = a_line(str(cable.name), tmp_path, timers)
    collected = Heard(line)
    wait_until(lambda: collected.count(Opened), what="the port to open")
    yield collected
    cable.pull()  # else the reader waits for another byte
    line.stop()


def a_line(url: str, tmp_path: Path, timers: Timers) -> SerialLine:
    line = SerialLine(
        url,
        Profile(name="test", timers=timers),
        frame_dump=FrameDump(tmp_path / "frames"),
        clock=SystemClock(),
        random=Random(1),
        bell=Bell(),
        beat=lambda: None,
    )
    line.start()
    return line


@pytest.mark.parametrize("timers", [Timers(inter_byte_gap=5.0, whole_frame=10.0)], ids=["patient"])
def test_a_frame_in_any_pieces_arrives_once(cable: Cable, heard: Heard) -> None:
    for byte in encode(BEAT):
        os.write(cable.machine, bytes([byte]))
    wait_until(lambda: heard.frames() == [BEAT], what="the frame")


def test_noise_around_a_frame_does_not_lose_it(cable: Cable, heard: Heard) -> None:
    os.write(cable.machine, b"\x00\xff\xaa\x55noise" + encode(BEAT) + b"\xaa\x55\x01\x00\x20" + encode(BEAT))
    wait_until(lambda: len(heard.frames()) == 2, what="both frames")


def test_a_false_header_gives_way_when_the_line_falls_silent(cable: Cable, heard: Heard) -> None:
    os.write(cable.machine, b"\xaa\x55\x01\x0f\xff" + encode(BEAT))
    wait_until(lambda: heard.frames() == [BEAT], what="the frame behind the false header")
    assert heard.line.error_ratio() > 0


def test_what_is_sent_reaches_the_machine(cable: Cable, heard: Heard) -> None:
    question = to_frame(Hello(msg_id=1))
    heard.line.send(question, 1)
    assert FrameDecoder().feed(os.read(cable.machine, 4096)) == [question]


def test_a_port_that_comes_back_under_its_name_is_opened_again(cable: Cable, heard: Heard) -> None:
    cable.pull()
    wait_until(lambda: heard.count(Closed), what="the loss")
    with pytest.raises(LineLost) as lost:
        heard.line.send(BEAT, 1)
    assert lost.value.wrote_nothing
    cable.plug()
    wait_until(lambda: heard.count(Opened) == 2, what="the port to open again")
    os.write(cable.machine, encode(BEAT))
    wait_until(lambda: heard.frames() == [BEAT], what="the frame")


def test_bytes_meant_for_an_older_opening_are_not_sent(cable: Cable, heard: Heard) -> None:
    cable.pull()
    wait_until(lambda: heard.count(Closed), what="the loss")
    cable.plug()
    wait_until(lambda: heard.count(Opened) == 2, what="the port to open again")
    with pytest.raises(LineLost) as lost:
        heard.line.send(BEAT, 1)
    assert lost.value.wrote_nothing


def test_what_a_socket_holds_back_is_thrown_away_when_it_is_recalled(tmp_path: Path, timers: Timers) -> None:
    """A peer that does not read: what its buffer does not hold is still ours."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        line = a_line(f"socket://127.0.0.1:{listener.getsockname()[1]}", tmp_path, timers)
        heard = Heard(line)
        peer, _ = listener.accept()
        wait_until(lambda: heard.count(Opened), what="the port to open")
        for _ in range(6):
            line.send(Frame(0x22, b'{"x":"' + b"x" * 4000 + b'"}'), 1)
        line.send(to_frame(Hello(msg_id=777)), 1)
        line.recall(1)
        wait_until(lambda: heard.count(Closed), what="the port to close")
        came: list[bytes] = []
        while came[-1:] not in ([b"the end"], [b""]):
            came.append(whatever_comes(peer))
        peer.close()
        assert came[-1] == b"the end"
        assert b"777" not in b"".join(came)
        line.stop()


def whatever_comes(peer: socket.socket) -> bytes:
    """Nothing after the connection was ended in order."""
    try:
        return peer.recv(65536)
    except ConnectionResetError:
        return b"the end"


def test_a_serial_port_with_nothing_left_to_send_is_not_closed_by_a_recall(cable: Cable, heard: Heard) -> None:
    heard.line.send(BEAT, 1)
    os.read(cable.machine, 4096)
    heard.line.recall(1)
    heard.line.send(BEAT, 1)
    assert FrameDecoder().feed(os.read(cable.machine, 4096)) == [BEAT]


def test_a_port_is_closed_without_hanging_up(cable: Cable) -> None:
    """Regression: DTR fell at each end of the agent, and a controller that it resets lost its drink."""
    settings = termios.tcgetattr(cable.machine)
    settings[CFLAG] |= termios.HUPCL
    termios.tcsetattr(cable.machine, termios.TCSANOW, settings)
    with open_port(str(cable.name), Profile(name="test")) as port:
        assert not termios.tcgetattr(port.fileno())[CFLAG] & termios.HUPCL


@pytest.mark.parametrize("said", [None, True, False])
def test_dtr_and_rts_are_set_at_opening_as_the_profile_says(
    cable: Cable, monkeypatch: pytest.MonkeyPatch, said: bool | None
) -> None:
    """No pty has these lines."""
    told: list[tuple[bool, bool]] = []
    monkeypatch.setattr(serial.Serial, "_update_dtr_state", lambda port: told.append((port.dtr, port.rts)))
    open_port(str(cable.name), Profile(name="test", serial=Serial(dtr=said, rts=said))).close()
    assert told == [(said is not False, said is not False)]


def test_dumps_of_frames_are_bounded(tmp_path: Path) -> None:
    frame_dump = FrameDump(tmp_path / "frames")
    frame_dump.saw(1.0, ">", b"\xaa\x55")
    clock = SystemClock()
    for number in range(KEEP_DUMPS + 5):
        path = frame_dump.dump(f"../order {number}", clock.wall())
        assert path is not None
        assert path.parent == tmp_path / "frames"
        assert path.read_text() == "1.000 > aa55\n"
    assert len(list((tmp_path / "frames").iterdir())) == KEEP_DUMPS
