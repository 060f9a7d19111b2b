"""`python -m bench.pages`: a thousand open order pages on one server; how soon each shows what its machine did.

From a device's MQTT message to the page's new part, whole, at the reader: broker, worker, database, web, event stream.
"""

import argparse
import itertools
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import requests
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import insert

from bench import orders, postgres
from bench.figures import Spread, percentile, spread
from bench.mqtt import connected_client
from bench.parts import Part
from bench.programs import Running, Weight, cpu_seconds, mosquitto, ours, weigh
from bench.readers import Readers, Seen
from bench.stage import DATABASES, Deployment, Missing
from cloud.database.database import Database
from cloud.orders.making import derived_command_id
from cloud.orders.models import MakeCommand, Order
from protocol.messages import Progress, encode
from protocol.reasons import Stage
from protocol.topics import Channel, topic
from simulator.demo.programs import DidNotStart, answers, free_port

START_WITHIN_S = 90.0
DRAIN_S = 5.0
STAGES = (Stage.CUP, Stage.GRIND, Stage.BREW, Stage.MILK, Stage.MIX, Stage.SERVE)
PAGES_A_DEVICE = 10


class Result(msgspec.Struct, frozen=True):
    """What one deployment did."""

    deployment: str
    pages: int
    streams: int
    refused: int
    lost: int
    news_a_second: float
    never_shown: int
    visible: Spread | None
    visible_p95: float
    """Milliseconds from the device's message to the page's new part at the reader."""
    page_load: Spread | None
    """A whole new page, asked for meanwhile, milliseconds."""
    web_mib: float
    web_cpu: float
    """Processors in use while news come."""
    web_cpu_idle: float
    """And while nothing happens but a thousand open streams."""


def main(arguments: list[str] | None = None) -> int:
    """0 when every page had its stream and p95 is under the promised 500 ms."""
    options = _parser().parse_args(arguments)
    results = []
    for name in options.databases:
        try:
            results.append(measure(Deployment(name), options.pages, options.rate, options.seconds, options.processes))
        except Missing as missing:
            print(f"{name} left out: {missing}", file=sys.stderr)
        else:
            print(msgspec.json.format(msgspec.json.encode(results[-1]), indent=1).decode())
    if options.record and results:
        at = datetime.now(UTC)
        path = options.record / f"pages-{at:%Y%m%dT%H%M%S}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    good = [r.visible_p95 <= 500 and r.never_shown == 0 and r.refused == 0 and r.lost == 0 for r in results]
    return 0 if good and all(good) else 1


def measure(deployment: Deployment, pages: int, rate: float, seconds: float, processes: int = 1) -> Result:
    """Open so many pages, then let machines report so many stages a second."""
    with _Stage(deployment, pages, processes) as stage:
        with Part("readers", Readers, stage.cloud_url, stage.order_ids) as readers:
            seen = _until(readers, lambda seen: seen.open + seen.refused >= pages)
            idle = stage.web_cpu(8.0)
            causes, loads, busy = stage.report_stages(rate, seconds)
            time.sleep(DRAIN_S)
            shown = seen.shown | (last := readers.take()).shown
            weight = weigh(stage.web.pid)
        took = [shown[key] - at for key, at in causes.items() if key in shown]
        return Result(
            deployment=deployment.value, pages=pages, streams=last.open, refused=last.refused, lost=last.lost,
            news_a_second=rate, never_shown=len(causes) - len(took), visible=spread(took),
            visible_p95=round(percentile(sorted(took), 0.95) * 1000, 1) if took else 0.0,
            page_load=spread(loads), web_mib=_mib(weight), web_cpu=round(busy, 2), web_cpu_idle=round(idle, 2),
        )  # fmt: skip


class _Stage:
    """Broker, database, worker and web, as deployed; orders whose drinks are being made."""

    def __init__(self, deployment: Deployment, pages: int, processes: int) -> None:
        self._deployment = deployment
        self._processes = processes
        self.order_ids = [orders.order_id(number) for number in range(pages)]
        self._devices = [orders.device_uuid(number // PAGES_A_DEVICE) for number in range(pages)]
        self._closing = ExitStack()

    def __enter__(self) -> "_Stage":
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def report_stages(self, rate: float, seconds: float) -> tuple[dict[tuple[str, str], float], list[float], float]:
        """Machines say how far they are, evenly spaced: when each did, how long new pages took, web's processors."""
        causes: dict[tuple[str, str], float] = {}
        loads: list[float] = []
        began, cpu = time.time(), cpu_seconds(self.web.pid)
        steps = itertools.islice(self._steps(), int(rate * seconds))
        for number, (order, device, stage, pct) in enumerate(steps):
            time.sleep(max(0.0, began + number / rate - time.time()))
            said = Progress(command_id=derived_command_id(order, 1), order_id=order, stage=stage, pct=pct)
            causes[order, stage.value] = time.time()
            self._client.publish(topic(device, Channel.REPORT), encode(said), qos=1)
            if number % max(1, int(rate)) == 0:
                asked = time.time()
                requests.get(f"{self.cloud_url}/v1/order-status-page?order_id={order}", timeout=10).raise_for_status()
                loads.append(time.time() - asked)
        return causes, loads, (cpu_seconds(self.web.pid) - cpu) / (time.time() - began)

    def web_cpu(self, seconds: float) -> float:
        """Processors the web process uses over so many seconds."""
        before = cpu_seconds(self.web.pid)
        time.sleep(seconds)
        return (cpu_seconds(self.web.pid) - before) / seconds

    def _steps(self) -> Iterator[tuple[str, str, Stage, int]]:
        for number, stage in enumerate(STAGES):
            for order, device in zip(self.order_ids, self._devices, strict=True):
                yield order, device, stage, 15 * number

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="coffee-pages-"))
        self._folder.chmod(0o755)
        self._closing.callback(shutil.rmtree, self._folder, ignore_errors=True)
        port, mqtt_port = free_port(), free_port()
        broker = mosquitto(self._subfolder("mosquitto"), mqtt_port)
        if broker is None:
            raise Missing("no Mosquitto on this machine")
        database_url = self._database()
        self._run(broker, lambda: answers(mqtt_port))
        secret_key = secrets.token_urlsafe(32)
        orders.prepare_fleet(database_url, secret_key, max(1, len(self.order_ids) // PAGES_A_DEVICE), "on_dispense")
        _prepare(database_url, self.order_ids, self._devices)
        self.cloud_url = f"http://127.0.0.1:{port}"
        settings = {
            "COFFEE_SECRET_KEY": secret_key, "COFFEE_DATABASE_URL": database_url, "COFFEE_BIND": f"127.0.0.1:{port}",
            "COFFEE_MQTT_URL": f"mqtt://127.0.0.1:{mqtt_port}", "COFFEE_PUBLIC_URL": self.cloud_url,
        }  # fmt: skip
        for word, ready in (("worker", lambda: True), ("web", self._is_ready)):
            words = [word, "--processes", str(self._processes)] if word == "web" else [word]
            self.web = ours("cloud", words, f"cloud {word}", self._subfolder(word), settings)
            self._run(self.web, ready)
        client = Client(CallbackAPIVersion.VERSION2, client_id="bench-devices", protocol=MQTTv5)
        client.max_inflight_messages_set(1000)
        self._client = connected_client(client, settings["COFFEE_MQTT_URL"], ["bench/nothing"])
        self._closing.callback(self._client.loop_stop)
        self._closing.callback(self._client.disconnect)

    def _database(self) -> str:
        if self._deployment is Deployment.SQLITE:
            return f"sqlite:///{self._folder}/coffee.db"
        program = postgres.find()
        if program is None:
            raise Missing("no PostgreSQL on this machine")
        url, _ = self._closing.enter_context(postgres.a_postgres(program, self._folder / "pg"))
        return url

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.cloud_url}/ready", timeout=2).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _run(self, program: Running, ready: Callable[[], bool]) -> None:
        program.start()
        self._closing.callback(program.stop)
        program.wait_for(ready, START_WITHIN_S)

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder


def _prepare(database_url: str, order_ids: list[str], devices: list[str]) -> None:
    """Paid orders, their commands accepted by the machine."""
    now = datetime.now(UTC)
    later = now + timedelta(hours=3)
    rows: list[dict[str, Any]] = [
        {
            "id": order_id, "device_uuid": device, "merchant_id": "bench", "drink_no": orders.DRINK_NO,
            "drink_name": "Американо", "size": 1, "price": orders.PRICE, "payment_scenario": "Yookassa",
            "status": "make_pending", "stage": "accepted", "created_at": now, "expires_at": later, "paid_at": now,
            "due_at": later,
        }
        for order_id, device in zip(order_ids, devices, strict=True)
    ]  # fmt: skip
    commands = [
        {
            "id": derived_command_id(row["id"], 1), "order_id": row["id"], "device_uuid": row["device_uuid"],
            "attempt": 1, "issued_at": now, "deadline_at": later, "live": True, "published_at": now, "accepted_at": now,
        }
        for row in rows
    ]  # fmt: skip
    with _open(database_url) as database, database.engine.begin() as connection:
        connection.execute(insert(Order), rows)
        connection.execute(insert(MakeCommand), commands)


@contextmanager
def _open(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _until(readers: Part[Seen], reached: Callable[[Seen], bool]) -> Seen:
    deadline = time.monotonic() + START_WITHIN_S
    while not reached(seen := readers.take()):
        if time.monotonic() > deadline:
            raise DidNotStart(f"only {seen.open} streams are open, {seen.refused} were refused")
        time.sleep(0.2)
    return seen


def _mib(weight: Weight | None) -> float:
    return 0.0 if weight is None else weight.pss


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--pages", type=int, default=1000, help="open at once")
    parser.add_argument("--processes", type=int, default=1, help="that serve them; each holds 1 100 streams")
    parser.add_argument("--rate", type=float, default=40.0, help="stages the machines report, a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="for so long")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write pages-<date>.json there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
