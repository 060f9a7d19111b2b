"""How heavy is the agent? `python -m bench.agent_size`: memory, installed size, and time to its first heartbeat.

The real program, installed as on a machine, beside a real broker and a simulated machine on a pty.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.agent_alone import installed_alone
from bench.programs import MIB, Running, mosquitto, weigh
from protocol.messages import (
    Accepted,
    Hello,
    Make,
    Message,
    Outcome,
    Receipt,
    State,
    Welcome,
    decode_report,
    decode_state,
    encode,
)
from protocol.topics import Channel, topic
from simulator.machine import MachineSimulator, Timing

DEVICE = "m-001"
LIMITS = {"resident, MiB": 40.0, "installed, MiB": 40.0, "start to first heartbeat, s": 1.5}
"""What is promised for a computer of this class."""
ORDERS = 20
WITHIN_S = 30.0


@dataclass(frozen=True)
class Figures:
    """What was measured. `heartbeats` are the single starts, seconds."""

    resident_idle: float
    resident_after_orders: float
    installed: float
    installed_ours: float
    heartbeats: list[float]
    machine_told: list[float]
    """Until the state names a machine that is ready, seconds."""

    @property
    def judged(self) -> dict[str, float]:
        """The promised figures, under the names of `LIMITS`."""
        resident = max(self.resident_idle, self.resident_after_orders)
        return dict(zip(LIMITS, (resident, self.installed, max(self.heartbeats)), strict=True))


def main(arguments: list[str] | None = None) -> int:
    """0 when every promised figure is kept, 1 when one is not or a part is missing."""
    parser = argparse.ArgumentParser(prog="bench.agent_size", description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="how often it is started (10)")
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", default=Path(__file__).with_name("results"), help="where the JSON goes"
    )
    parser.add_argument("--no-record", dest="record", action="store_const", const=None, help="only print")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="coffee-bench-") as name:
        figures = measure(Path(name), options.starts)
    if figures is None:
        print("Mosquitto is missing", file=sys.stderr)
        return 1
    print(table(figures))
    if options.record:
        options.record.mkdir(parents=True, exist_ok=True)
        path = options.record / f"agent-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
        told = {"machine": f"{os.cpu_count()} processors", "python": sys.version.split()[0], **asdict(figures)}
        path.write_text(json.dumps(told, indent=1) + "\n")
        print(f"recorded in {path}", file=sys.stderr)
    return 0 if all(figures.judged[name] < limit for name, limit in LIMITS.items()) else 1


def measure(folder: Path, starts: int) -> Figures | None:
    """None where there is no Mosquitto."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    broker = mosquitto(folder, port)
    if broker is None:
        return None
    alone = installed_alone(folder / "alone")
    broker.start()
    _wait_for(port)
    timing = Timing(brew_s=0.2, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)
    try:
        with MachineSimulator(tty=folder / "tty", http=None, timing=timing):
            cloud = _Cloud(port)
            runs = [_one_start(alone, folder, port, cloud, number) for number in range(starts)]
            cloud.close()
    finally:
        broker.stop()
    return Figures(
        resident_idle=median(run.idle for run in runs),
        resident_after_orders=median(run.after for run in runs),
        installed=_mebibytes(alone),
        installed_ours=round(sum(_mebibytes(alone / name) for name in ("agent", "cloud", "protocol", "simulator")), 1),
        heartbeats=[run.heartbeat for run in runs],
        machine_told=[run.ready for run in runs],
    )


def table(figures: Figures) -> str:
    """Markdown that is readable as it is."""
    lines = ["| the agent | measured | promised |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {figures.judged[name]:.2f} | < {limit:g} |" for name, limit in LIMITS.items()]
    lines += [
        f"| · start to first heartbeat, median, s | {median(figures.heartbeats):.2f} | |",
        f"| · start to a machine that is ready, median, s | {median(figures.machine_told):.2f} | |",
        f"| · resident when idle, MiB | {figures.resident_idle:.1f} | |",
        f"| · of the installation ours, the cloud's code included, MiB | {figures.installed_ours:.1f} | |",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Start:
    heartbeat: float
    ready: float
    idle: float
    after: float


class _Cloud:
    """Welcomes the agent, hears its state, which is its heartbeat, orders drinks and receipts what became of them."""

    def __init__(self, port: int) -> None:
        self._states: list[tuple[float, State]] = []
        self._ended: set[str] = set()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        for channel in (Channel.STATE, Channel.REPORT):
            self._client.subscribe(topic(DEVICE, channel), 1)
        self._client.loop_start()

    def _take(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        if message.topic == topic(DEVICE, Channel.STATE):
            if not message.retain:
                self._states.append((time.monotonic(), decode_state(bytes(message.payload))))
            return
        said = decode_report(bytes(message.payload))
        if isinstance(said, Hello):  # it pours nothing before it knows the cloud's time
            self._say(Channel.RECEIPT, Welcome(hello_id=said.hello_id, cloud_time=datetime.now(UTC)))
        if isinstance(said, Accepted | Outcome):
            self._say(Channel.RECEIPT, Receipt(message_ids=[said.message_id]))
        if isinstance(said, Outcome):
            self._ended.add(said.command_id)

    def first_state(self, since: float, *, ready: bool) -> float:
        """When a state was heard after `since`; with `ready`, one of a machine that is."""
        while time.monotonic() < since + WITHIN_S:
            for at, state in list(self._states):
                if at >= since and (not ready or (state.machine == "ready" and state.selling)):
                    return at
            time.sleep(0.001)
        raise TimeoutError("no heartbeat")

    def order(self, count: int) -> None:
        """Returns when each has its outcome; most are refused as busy, which costs the same memory."""
        now = datetime.now(UTC)
        names = {f"{now.timestamp():.6f}-{number}" for number in range(count)}
        for name in names:
            self._say(
                Channel.COMMAND,
                Make(
                    command_id=name,
                    order_id=name,
                    attempt=1,
                    drink_no="americano",
                    size=1,
                    price=17900,
                    issued_at=now,
                    deadline_at=now + timedelta(seconds=WITHIN_S),
                ),
            )
        until = time.monotonic() + WITHIN_S
        while not names <= self._ended:
            if time.monotonic() > until:
                raise TimeoutError("orders without an outcome")
            time.sleep(0.01)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _say(self, channel: Channel, message: Message) -> None:
        self._client.publish(topic(DEVICE, channel), encode(message), 1)


def _one_start(alone: Path, folder: Path, port: int, cloud: _Cloud, number: int) -> _Start:
    code = f"import sys; sys.path.insert(0, {str(alone)!r}); from agent.cli import main; sys.exit(main(['run']))"
    program = Running("agent", [sys.executable, "-I", "-S", "-c", code], folder, _settings(folder, port, number))
    began = time.monotonic()
    program.start()
    try:
        heartbeat = cloud.first_state(began, ready=False) - began
        ready = cloud.first_state(began, ready=True) - began
        idle = weigh(program.pid)
        cloud.order(ORDERS)
        after = weigh(program.pid)
    finally:
        program.stop()
    return _Start(round(heartbeat, 3), round(ready, 3), idle.rss if idle else 0.0, after.rss if after else 0.0)


def _settings(folder: Path, port: int, number: int) -> Mapping[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COFFEE_")}
    return {
        **kept,
        "COFFEE_AGENT_DEVICE_UUID": DEVICE,
        "COFFEE_AGENT_MQTT_URL": f"mqtt://127.0.0.1:{port}",
        "COFFEE_AGENT_SERIAL": str(folder / "tty"),
        "COFFEE_AGENT_STATE_DIR": str(folder / f"state-{number}"),
    }


def _wait_for(port: int) -> None:
    until = time.monotonic() + WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _mebibytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MIB, 1)


if __name__ == "__main__":
    sys.exit(main())
