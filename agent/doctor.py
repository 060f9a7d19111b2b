"""Looks at everything the agent needs and says in plain words what is wrong and what to do. Changes nothing."""

import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import serial

from agent import profile, settings
from agent.clock import Bell
from agent.database import FILE, JournalFailed, looking
from agent.mqtt import CONNECT_TIMEOUT_S, Connection, Refused
from agent.port import open_port
from agent.profile import BadProfile, Profile
from agent.service import is_running
from agent.settings import BadSettings, Settings
from protocol.errors import WireError
from protocol.frames import FrameDecoder, encode
from protocol.machine import Hello, HelloReply, from_frame, to_frame

ENOUGH_BYTES = 50 * 1024 * 1024
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""A clock before this was never set."""
HELLO_TRIES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    mark: str
    subject: str
    words: str

    @property
    def is_bad(self) -> bool:
        return self.mark == "bad"

    def __str__(self) -> str:
        return f"{self.mark:<5} {self.subject}: {self.words}"


def examine(env: Mapping[str, str]) -> list[Finding]:
    """Everything, in the order in which things depend on each other."""
    return list(_examine(env))


def _examine(env: Mapping[str, str]) -> Iterator[Finding]:
    yield from _clock()
    state_dir = settings.state_dir(env)
    yield from _storage(state_dir)
    try:
        chosen = Settings.from_env(env)
        loaded = profile.load(chosen.profile)
    except (BadSettings, BadProfile) as error:
        yield Finding("bad", "settings", f"{error}")
        return
    yield Finding("good", "settings", f"device {chosen.device_uuid}, profile {loaded.name}")
    yield from _machine(chosen, loaded, is_running(state_dir))
    yield from _broker(chosen)


def _clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now < EARLIEST:
        yield Finding("warn", "clock", f"it says {now:%Y-%m-%d}; set it, or the agent waits for the cloud's clock")
    else:
        yield Finding("good", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _storage(state_dir: Path) -> Iterator[Finding]:
    if not state_dir.is_dir():
        yield Finding("warn", "storage", f"{state_dir} does not exist yet; `coffee-agent run` makes it")
        return
    free = shutil.disk_usage(state_dir).free
    if free < ENOUGH_BYTES:
        yield Finding("bad", "storage", f"only {free // 2**20} MiB free at {state_dir}; make room, or nothing is sold")
    if any(state_dir.glob(f"{FILE}.damaged-*")):
        yield Finding("warn", "journal", f"a damaged journal was put aside in {state_dir}; look at it, keep it")
    if not (state_dir / FILE).exists():
        yield Finding("good", "journal", "none yet")
        return
    try:
        with looking(state_dir) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except JournalFailed as failed:
        verdict = str(failed)
    if verdict == "ok":
        yield Finding("good", "journal", f"sound, {free // 2**20} MiB free")
    else:
        yield Finding("bad", "journal", f"{verdict}; restart the agent, it puts the file aside and starts a new one")


def _machine(chosen: Settings, loaded: Profile, port_is_ours: bool) -> Iterator[Finding]:
    if port_is_ours:
        yield Finding("good", "machine", "the agent is running and has the port; see `coffee-agent status`")
        return
    try:
        port = open_port(chosen.serial, loaded)
    except (OSError, ValueError) as error:
        yield Finding("bad", "port", f"{chosen.serial}: {error}; {_advice(chosen.serial)}")
        return
    yield Finding("good", "port", f"{chosen.serial} opens")
    with port:
        try:
            reply = _greet(port, loaded)
        except (OSError, ValueError) as error:
            yield Finding("bad", "machine", f"the port broke: {error}; check the cable")
            return
    if reply is None:
        yield Finding("bad", "machine", "no answer; is it switched on, is the cable right, is the speed right?")
        return
    missing = loaded.expects.wanted - frozenset(reply.caps)
    yield Finding("good", "machine", f"{reply.model}, firmware {reply.fw}, boot {reply.boot_id}")
    if missing:
        yield Finding("warn", "machine", f"it cannot: {', '.join(sorted(missing))}; more orders will end unknown")


def _advice(url: str) -> str:
    path = Path(url)
    if "://" in url:
        return "is the other end listening?"
    if not path.exists():
        return "there is no such device; is the cable in? look in /dev/serial/by-id"
    return "may this user open it (group dialout), and does nobody else have it open?"


def _greet(port: serial.Serial, loaded: Profile) -> HelloReply | None:
    decoder = FrameDecoder()
    for msg_id in range(1, HELLO_TRIES + 1):
        port.write(encode(to_frame(Hello(msg_id=msg_id))))
        until = time.monotonic() + loaded.timers.query_reply
        while time.monotonic() < until:
            for frame in decoder.feed(port.read(1)):
                try:
                    message = from_frame(frame)
                except WireError:
                    continue
                if isinstance(message, HelloReply):
                    return message
    return None


def _broker(chosen: Settings) -> Iterator[Finding]:
    where = f"{chosen.broker.host}:{chosen.broker.port}"
    try:
        socket.create_connection((chosen.broker.host, chosen.broker.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        yield Finding("bad", "broker", f"{where}: {error}; is the network up, is the address right?")
        return
    bell = Bell()
    connection = Connection(
        chosen.broker,
        f"{chosen.device_uuid}-doctor",  # under its own name we would push a running agent out
        mqtt5=True,
        subscriptions=[],
        will=None,
        on_message=lambda *_: True,
        on_change=bell.ring,
        is_passing=True,
    )
    try:
        connection.open()
        bell.wait(CONNECT_TIMEOUT_S)
        if connection.is_ready:
            yield Finding("good", "broker", f"{where} takes us")
        else:
            why = connection.why_lost or "no answer"
            words = f"{where}: {why}; it may refuse this trial name and still take the agent"
            yield Finding("warn", "broker", words)
    except Refused as refused:
        yield Finding("bad", "broker", f"{refused}")
    finally:
        connection.close()
