"""The serial port: opened by its stable name, reopened for ever, bytes turned into frames. Knows no messages.

The reader thread does nothing but read, decode and queue.
"""

import logging
import socket
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import serial

from agent.clock import Bell, Clock
from agent.machine.conversation import Closed, LineLost, LineNews, Opened
from agent.machine.frame_dump import FrameDump
from agent.machine.framing import Decoder
from agent.machine.profile import Profile
from protocol.frames import Frame

WRITE_TIMEOUT_S = 1.0
DRAIN_PAUSE_S = 0.005
QUICK_TRIES = 10
QUICK_PAUSE_S = 0.2
"""A port that comes back under its name within two seconds is picked up at once."""
LONGEST_PAUSE_S = 30.0
STEADY_S = 5.0
"""A port that stayed open for so long is tried again at once; one that breaks at each opening is not."""
SETTINGS_EVERY_S = 3.0
"""How often it is looked whether another program has changed the settings of the open port."""
BITS_PER_BYTE = 10
MAX_QUEUE = 1_000
"""Frames nobody took; beyond it new ones are dropped, for all that matters is repeated by the machine."""
RATIO_FRAMES = 200
"""The share of damaged frames is told over about this many."""
CFLAG = 2
"""The place of the control modes among a terminal's settings."""
_AT_CLOSE_FORGET = struct.pack("ii", 1, 0)
"""However the port is closed, also by our death: what it has not delivered it does not deliver later."""
_LOST = (OSError, serial.SerialException, termios.error, TypeError, ValueError)
"""What a vanishing adapter can raise from pyserial, TypeError included (it reads through a closed descriptor)."""
log = logging.getLogger(__name__)


def open_port(url: str, profile: Profile) -> serial.Serial:
    """Open for ourselves alone, by the system's lock on the device: it ends with us, however we end.

    A link such as /dev/serial/by-id/... is followed anew at each opening. Raises what `_LOST` lists.
    """
    port: serial.Serial = serial.serial_for_url(
        url,
        baudrate=profile.serial.baud,
        bytesize=profile.serial.bytesize,
        parity=profile.serial.parity,
        stopbits=profile.serial.stopbits,
        timeout=profile.timers.inter_byte_gap,
        write_timeout=WRITE_TIMEOUT_S,
        rtscts=profile.serial.flow == "rtscts",
        exclusive=True,
        do_not_open=True,
    )
    if profile.serial.dtr is not None:
        port.dtr = profile.serial.dtr
    if profile.serial.rts is not None:
        port.rts = profile.serial.rts
    port.open()
    if (terminal := _terminal_of(port)) is not None:
        _let_go_without_hanging_up(port, terminal)
    if (end := _socket_of(port)) is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_CLOSE_FORGET)
    return port


def _terminal_of(port: serial.Serial) -> int | None:
    """The descriptor of a port of this computer; a line over the network has no settings here."""
    number = getattr(port, "fd", None)
    return number if isinstance(number, int) else None


def _settings_of(port: serial.Serial) -> list[Any] | None:
    """As they are now. Raises `termios.error`."""
    terminal = _terminal_of(port)
    return None if terminal is None else termios.tcgetattr(terminal)


def _set_back(port: serial.Serial, settings: list[Any]) -> None:
    """On the open port, without moving DTR. Raises what `_LOST` lists."""
    termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    port.timeout = port.timeout  # has pyserial set a speed that is none of the usual ones


def _let_go_without_hanging_up(port: serial.Serial, terminal: int) -> None:
    """Have DTR stay as it is when the port is closed: a controller that it resets would lose the drink it pours."""
    try:
        settings = termios.tcgetattr(terminal)
        settings[CFLAG] &= ~termios.HUPCL
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
    except termios.error as error:
        port.close()
        raise OSError(*error.args) from error


def _socket_of(port: serial.Serial) -> socket.socket | None:
    """Of `socket://` and `rfc2217://`."""
    end = getattr(port, "_socket", None)
    return end if isinstance(end, socket.socket) else None


class SerialLine:
    """The line of a real machine; `beat` is called whenever the reader has come round once more."""

    def __init__(
        self,
        url: str,
        profile: Profile,
        *,
        frame_dump: FrameDump,
        clock: Clock,
        random: Random,
        bell: Bell,
        beat: Callable[[], None],
    ) -> None:
        self._url = url
        self._profile = profile
        self._layout = profile.layout
        self._frame_dump = frame_dump
        self._clock = clock
        self._random = random
        self._bell = bell
        self._beat = beat
        self._news: deque[LineNews] = deque()
        self._port: serial.Serial | None = None
        self._session = 0
        self._why_broken = ""
        """Why the reader is to close the port and open it again."""
        self._write_lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serial-reader", daemon=True)
        self._good = self._bad = 0.0
        self._dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the port and end the reader."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def take_news(self) -> list[LineNews]:
        taken: list[LineNews] = []
        while self._news:
            taken.append(self._news.popleft())
        return taken

    def send(self, frame: Frame, session: int) -> None:
        data = self._layout.encode(frame)
        with self._write_lock:
            port = self._port
            if port is None or session != self._session:
                raise LineLost("the port is closed", wrote_nothing=True)
            self._frame_dump.saw(self._clock.monotonic(), ">", data)
            try:
                port.write(data)
                if self._profile.serial.flow != "none":
                    self._drain(port)
            except _LOST as error:
                self._why_broken = "a write failed"
                with suppress(*_LOST):
                    port.reset_output_buffer()
                raise LineLost(f"write failed: {error}") from error
        log.debug("> %s", data.hex())

    def recall(self, session: int) -> None:
        """A socket may hold bytes back for minutes and deliver them then; closing it throws them away."""
        with self._write_lock, suppress(*_LOST):
            port = self._port
            if port is None or session != self._session:
                return
            if _socket_of(port) is not None:
                self._why_broken = "what has not left is thrown away"
            elif port.out_waiting:
                port.reset_output_buffer()
                self._why_broken = "what has not left is thrown away"

    def renew(self, session: int) -> None:
        with self._write_lock:
            if self._port is not None and session == self._session:
                self._why_broken = "nothing is heard on it"

    def _drain(self, port: serial.Serial) -> None:
        """A machine that holds the line up must not get a make later, when it lets go. Raises `OSError`."""
        until = self._clock.monotonic() + WRITE_TIMEOUT_S
        while getattr(port, "out_waiting", 0):  # a line over the network has none: what is written has left
            if self._clock.monotonic() >= until:
                raise OSError("the machine does not take what is sent")
            self._stopping.wait(DRAIN_PAUSE_S)

    def error_ratio(self) -> float:
        total = self._good + self._bad
        return round(self._bad / total, 2) if total else 0.0

    def _run(self) -> None:
        failures, told = 0, ""
        while not self._stopping.is_set():
            try:
                port = open_port(self._url, self._profile)
            except _LOST as error:
                if str(error) != told:  # once a reason, not once a try
                    told = str(error)
                    log.warning("cannot open %s: %s", self._url, error)
                self._pause(failures)
                failures += 1
                continue
            opened_at, told = self._clock.monotonic(), ""
            self._use(port)
            failures = 0 if self._clock.monotonic() - opened_at >= STEADY_S else failures + 1
            self._pause(failures)

    def _use(self, port: serial.Serial) -> None:
        with self._write_lock:
            self._session += 1
            self._port = port
            self._why_broken = ""
        log.info("%s is open", self._url)
        self._tell(Opened(self._session))
        why = "stopped"
        try:
            self._read(port)
        except _LOST as error:
            why = str(error)
            log.warning("%s is lost: %s", self._url, why)
        with self._write_lock:
            self._port = None
        try:
            port.close()  # may wait for bytes that nobody takes: not under the lock
        except _LOST as error:
            log.debug("closing %s: %s", self._url, error)
        self._tell(Closed(why))

    def _read(self, port: serial.Serial) -> None:
        decoder = Decoder(self._layout)
        candidate, since = -1, 0.0
        settings, look_at = _settings_of(port), 0.0
        while not self._stopping.is_set():
            if self._why_broken:
                raise OSError(self._why_broken)
            self._beat()
            if settings is not None and self._clock.monotonic() >= look_at:
                look_at = self._clock.monotonic() + SETTINGS_EVERY_S
                self._keep_settings(port, settings)
            data = port.read(1)
            if data:
                waiting = port.in_waiting
                data += port.read(waiting) if waiting else b""
                frames = decoder.feed(data)
            else:
                frames = decoder.give_up()
            now = self._clock.monotonic()
            if decoder.passed != candidate or not decoder.waiting:
                candidate, since = decoder.passed, now
            elif now - since > self._budget(decoder.claimed):
                frames += decoder.give_up()
            for frame in frames:
                self._hear(frame, now)
            self._judge(decoder)

    def _keep_settings(self, port: serial.Serial, settings: list[Any]) -> None:
        """Another program, such as a getty, may set an open port its own way: from then on no frame would be heard."""
        if _settings_of(port) != settings:
            log.warning("another program has changed the settings of %s: they are set back", self._url)
            _set_back(port, settings)

    def _budget(self, size: int) -> float:
        """How long a frame of this size may take: a false header must not hold up what drips in behind it."""
        return self._profile.timers.whole_frame + 3 * size * BITS_PER_BYTE / self._profile.serial.baud

    def _hear(self, frame: Frame, now: float) -> None:
        data = self._layout.encode(frame)
        self._frame_dump.saw(now, "<", data)
        log.debug("< %s", data.hex())
        if len(self._news) < MAX_QUEUE:
            self._dropped = 0
            self._tell(frame)
            return
        if not self._dropped:
            log.error("frames dropped: %s wait already", MAX_QUEUE)
        self._dropped += 1

    def _judge(self, decoder: Decoder) -> None:
        """Keep a fading count of good and damaged frames."""
        stats = decoder.stats
        self._good += stats.frames
        self._bad += stats.faults.total()
        stats.frames = 0
        stats.faults.clear()
        if self._good + self._bad > RATIO_FRAMES:
            self._good, self._bad = self._good / 2, self._bad / 2

    def _tell(self, news: LineNews) -> None:
        self._news.append(news)
        self._bell.ring()

    def _pause(self, failures: int) -> None:
        if failures < QUICK_TRIES:
            pause = QUICK_PAUSE_S
        else:
            pause = min(LONGEST_PAUSE_S, 2.0 ** min(failures - QUICK_TRIES, 10))
            pause *= self._random.uniform(0.7, 1.3)
        until = self._clock.monotonic() + pause
        while (left := until - self._clock.monotonic()) > 0 and not self._stopping.wait(min(left, 1.0)):
            self._beat()
