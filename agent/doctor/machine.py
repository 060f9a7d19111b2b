"""The doctor's look at the serial line: does the port open, and who answers on it."""

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import serial

from agent.doctor.findings import BAD, GOOD, WARN, Finding
from agent.doctor.storage import group_of
from agent.machine.framing import Decoder
from agent.machine.profile import Profile
from agent.machine.serial_port import open_port
from agent.settings import Settings
from protocol.errors import WireError
from protocol.machine import Hello, HelloReply

HELLO_TRIES = 3
BY_ID = Path("/dev/serial/by-id")


def examine(chosen: Settings, loaded: Profile, *, port_is_ours: bool) -> Iterator[Finding]:
    """`port_is_ours`: the agent is running and holds the port, so nobody else may look."""
    if port_is_ours:
        yield Finding(GOOD, "machine", "the agent is running and has the port; see `coffee-agent status`")
        return
    try:
        port = open_port(chosen.serial, loaded)
    except (OSError, ValueError) as error:
        yield Finding(BAD, "port", f"{chosen.serial}: {advice(chosen.serial, error)}")
        return
    yield Finding(GOOD, "port", f"{chosen.serial} opens")
    with port:
        if not loaded.codec.knows(Hello, HelloReply):
            yield Finding(WARN, "machine", f"profile {loaded.name} knows no greeting; only the port was looked at")
            return
        heard = _Heard(Decoder(loaded.layout))
        try:
            reply = _greet(port, loaded, heard)
        except (OSError, ValueError) as error:
            yield Finding(BAD, "machine", f"the port broke: {error}; check the cable and the adapter")
            return
    if reply is None:
        yield Finding(BAD, "machine", no_greeting(loaded, heard))
        return
    missing = loaded.expects.wanted - loaded.abilities(frozenset(reply.caps))
    yield Finding(GOOD, "machine", f"{reply.model}, firmware {reply.fw}, boot {reply.boot_id}")
    if missing:
        yield Finding(WARN, "machine", f"it cannot: {', '.join(sorted(missing))}; more orders will end unknown")


@dataclass(slots=True)
class _Heard:
    """What came on the line while we waited for a greeting."""

    decoder: Decoder
    bytes: int = 0
    echoes: int = 0
    """Frames of ours that came back."""


def no_greeting(loaded: Profile, heard: _Heard) -> str:
    """Why nobody has answered a greeting, by what came instead, and what to do."""
    stats = heard.decoder.stats
    speed = f"{loaded.serial.baud} baud, {loaded.serial.bytesize}{loaded.serial.parity}{loaded.serial.stopbits}"
    if heard.echoes:
        return (
            "what we send comes back and nothing else does; is it on, do two wires or a loopback plug join both ways?"
        )
    if stats.frames:
        return f"it sends frames ({stats.frames}) and answers no greeting; is profile {loaded.name} the right one?"
    if stats.faults["crc"]:
        words = f"it answers, and {stats.faults['crc']} frames had a wrong checksum (CRC); no other cable mends that"
        return f"{words}: is [framing.crc] of profile {loaded.name} that of this machine?"
    if heard.bytes:
        words = f"{heard.bytes} bytes came and no frame among them; is the speed right ({speed})"
        return f"{words}, is [framing] of profile {loaded.name} that of this machine?"
    return f"no answer at {speed}; is it on, is the cable the right one, is the speed right?"


def advice(url: str, error: Exception) -> str:
    """Why the port does not open, and what to do."""
    if "://" in url:
        return f"{error}; is the other end listening?"
    path = Path(url)
    if os.path.lexists(path) and not path.exists():
        return f"it points to {os.readlink(path)}, which is not there; is the cable in?"
    if not path.exists():
        return f"there is no such device; is the cable in? {_others()}"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM):
        return f"this user may not open it; add the user to the group {group_of(path)} and start again"
    if number in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error):
        return "another program has it open; end that one (`fuser -v` on the device names it)"
    if number in (errno.ENOTTY, errno.EINVAL) or not path.is_char_device():
        return f"this is no serial port ({error}); {_others()}"
    return f"{error}; unplug the adapter and plug it in again"


def _others() -> str:
    try:
        found = sorted(BY_ID.iterdir())
    except OSError:
        found = []
    return f"there are: {', '.join(map(str, found))}" if found else f"nothing is in {BY_ID} either"


def _greet(port: serial.Serial, loaded: Profile, heard: _Heard) -> HelloReply | None:
    for msg_id in range(1, HELLO_TRIES + 1):
        sent = loaded.codec.to_frame(Hello(msg_id=msg_id))
        port.write(loaded.layout.encode(sent))
        until = time.monotonic() + loaded.timers.query_reply
        while time.monotonic() < until:
            data = port.read(1)
            heard.bytes += len(data)
            for frame in heard.decoder.feed(data):
                heard.echoes += frame == sent
                try:
                    message = loaded.codec.from_frame(frame)
                except WireError:
                    continue
                if isinstance(message, HelloReply):
                    return message
    return None
