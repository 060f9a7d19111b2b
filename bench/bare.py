"""`python -m bench.bare`: the least that any such chain does, as a yardstick for this machine on this day.

A webhook, one transaction through SQLAlchemy (in groups on SQLite), a message with QoS 1, an entry in an agent's
journal (`synchronous=FULL`), the first byte on a pty. Nobody asks the provider, nothing has states, nothing is reported
back: what `python3 run.py bench` takes beyond this is the price of the product.
"""

import argparse
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench import interpreter, latency, maximum, past
from bench.campaign import DEFAULT, FAKE_MACHINES, Length, plans_of, reads_of
from bench.figures import Spread, spread
from bench.mqtt import connected_client
from bench.orders import DRINK_NO, PRICE, Prepared, number_of_payment, order_id
from bench.programs import Running
from bench.reads import Reads
from bench.stage import DATABASES, Deployment, Missing, Stage
from bench.surroundings import machine, software
from bench.webhooks import PATH, Notifier
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from protocol.machine import MakeDrink, to_frame
from protocol.messages import Make, decode_command
from protocol.messages import encode as encode_message
from protocol.reasons import Size
from protocol.topics import Channel, every, parse, topic
from simulator.demo.programs import answers, free_port
from simulator.machine.framing import encode

CAPTURE = "on_dispense"


class Base(DeclarativeBase):
    """Apart from the product's tables."""


class BareNews(Base):
    """What was posted."""

    __tablename__ = "bare_news"
    key: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[bytes]


class BareOrder(Base):
    """An order with the one status that matters here."""

    __tablename__ = "bare_orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    device_uuid: Mapped[str]
    is_paid: Mapped[bool]


_STATUS = select(BareOrder).where(BareOrder.id == bindparam("asked"))


class BareCommand(Base):
    """What is published."""

    __tablename__ = "bare_commands"
    id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str]


def create_app() -> Flask:
    """Takes the webhook, writes once, publishes, answers. For gunicorn, as the product is."""
    database = Database(os.environ["BARE_DATABASE_URL"])
    client = Client(CallbackAPIVersion.VERSION2, client_id="bare-cloud", protocol=MQTTv5)
    client.max_inflight_messages_set(5000)
    connected_client(client, os.environ["BARE_MQTT_URL"], ["bare/nothing"])
    app = Flask("bare", static_folder=None)

    @app.post(PATH)
    def webhook() -> Response:
        body = request.get_data()
        paid = order_id(number_of_payment(json.loads(body)["object"]["id"]))
        device_uuid = database.transact(_pay, paid, body)
        now = datetime.now(UTC)
        make = Make(
            command_id=f"mk-{paid}", order_id=paid, attempt=1, drink_no=DRINK_NO, size=Size.MEDIUM, price=PRICE,
            issued_at=now, deadline_at=now + timedelta(seconds=60),
        )  # fmt: skip
        client.publish(topic(device_uuid, Channel.COMMAND), encode_message(make), qos=1)
        return Response("stored\n", 200, mimetype="text/plain")

    @app.get("/v1/order-status/<asked>")
    def status(asked: str) -> Response:
        with database.engine.connect() as connection:
            row = connection.execute(_STATUS, {"asked": asked}).one()
        return jsonify(order_id=row.id, device=row.device_uuid, status="successful" if row.is_paid else "pending")

    return app


def _pay(tx: Transaction, paid: str, body: bytes) -> str:
    tx.session.execute(insert(BareNews).values(key=paid, body=body))
    tx.session.execute(update(BareOrder).where(BareOrder.id == paid).values(is_paid=True))
    tx.session.execute(insert(BareCommand).values(id=f"mk-{paid}", order_id=paid))
    return tx.session.scalars(select(BareOrder.device_uuid).where(BareOrder.id == paid)).one()


class BareAgent:
    """Journals each command, acknowledges it, and sends its frame. Every command gives a permit back."""

    def __init__(self, mqtt_url: str, lines: Mapping[str, str], folder: str, permits: Any) -> None:
        self._journal = sqlite3.connect(f"{folder}/bare.db", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE command (id TEXT PRIMARY KEY, body BLOB)",
        ):
            self._journal.execute(statement)
        self._lines = {device: os.open(tty, os.O_RDWR | os.O_NOCTTY) for device, tty in lines.items()}
        for number in self._lines.values():
            threading.Thread(target=_drain, args=(number,), daemon=True).start()
        client = Client(CallbackAPIVersion.VERSION2, client_id="bare-agent", protocol=MQTTv5, manual_ack=True)
        client.on_message = self._on_message
        counter = Client(CallbackAPIVersion.VERSION2, client_id="bare-counter", protocol=MQTTv5)
        counter.on_message = lambda *_: permits.release()
        self._clients = [
            connected_client(client, mqtt_url, [topic(device, Channel.COMMAND) for device in lines]),
            connected_client(counter, mqtt_url, [every(Channel.COMMAND)]),
        ]

    def address(self) -> None:
        return None

    def take(self) -> None:
        return None

    def close(self) -> None:
        for client in self._clients:
            client.loop_stop()

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        make = decode_command(bytes(message.payload))
        assert isinstance(make, Make)
        self._journal.execute("INSERT INTO command VALUES (?, ?)", (make.command_id, message.payload))
        client.ack(message.mid, message.qos)
        asked = MakeDrink(order_uuid=make.order_id, drink_no=make.drink_no, text_flag="1", price=make.price)
        os.write(self._lines[parse(message.topic).device_uuid], encode(to_frame(asked)))


def _drain(number: int) -> None:
    while os.read(number, 4096):
        pass


class BareStage(Stage):
    """The stand-ins of the whole bench around the bare cloud and the bare agent."""

    def _start_cloud(self, mqtt_url: str) -> None:
        database = Database(self.database_url)
        Base.metadata.create_all(database.engine)
        with database.engine.begin() as connection:
            rows = [
                {"id": order_id(order.number), "device_uuid": order.device_uuid, "is_paid": False}
                for order in self._prepared
            ]
            old = [{"id": f"old-{n}", "device_uuid": self.agents[0], "is_paid": True} for n in range(self.past)]
            connection.execute(insert(BareOrder), old + rows)
        database.close()
        past.let_server_look(self.database_url)
        port = free_port()
        self.cloud_url = f"http://127.0.0.1:{port}"
        words = ["-k", "gthread", "--threads", "64", "--keep-alive", "30", "-b", f"127.0.0.1:{port}"]
        environ = os.environ | {"BARE_DATABASE_URL": self.database_url, "BARE_MQTT_URL": mqtt_url}
        command = [*interpreter.command("gunicorn"), *words, "bench.bare:create_app()"]
        folder = self._subfolder("bare-cloud")
        self._run(Running("bare cloud", command, folder, environ | dict(interpreter.environ())), lambda: answers(port))

    def _start_agents(self, mqtt_url: str) -> None:
        lines = dict(zip(self.agents, self.machines.address, strict=True))
        self._part("bare agent", BareAgent, mqtt_url, lines, str(self.folder), self.permits)


@dataclass(frozen=True)
class Bare:
    """Of one database: webhook to first byte by orders a second, and the most commands a second."""

    deployment: str
    chain: Mapping[str, Spread | None]
    maximum: float
    cpu_ms: float
    """Processor of the cloud and the database for one order at full load."""
    reads: tuple[Reads, ...]


def run(deployment: Deployment, length: Length) -> Bare:
    """Measure it as the whole bench is measured: the same orders, the same rates. Raises `Missing`."""
    agents = 2
    plans, last, _ = plans_of(length, agents)
    prepared = [order for plan in (*plans, last) for order in plan]
    with BareStage(deployment, agents, agents + FAKE_MACHINES, prepared, CAPTURE) as stage:
        chain = {f"{rate:g}/s": _latency(stage, plan, rate) for rate, plan in zip(length.rates, plans, strict=True)}
        most, cpu_ms = _maximum(stage, last, length.maximum_seconds) if last else (0.0, 0.0)
        return Bare(deployment.value, chain, most, cpu_ms, reads_of(stage, len(prepared), length.reads_seconds))


def _latency(stage: Stage, plan: Sequence[Prepared], rate: float) -> Spread | None:
    stage.machines.take()
    notifier = Notifier(stage.cloud_url, CAPTURE, latency.CONNECTIONS)
    notifier.at_rate(plan, rate)
    begun = notifier.finish().begun
    numbers = {order_id(order.number): order.number for order in plan if order.device_uuid in stage.agents}
    first_byte: dict[str, float] = {}
    until = time.monotonic() + latency.SETTLE_S
    while len(first_byte) < len(numbers) and time.monotonic() < until:
        first_byte |= stage.machines.take()
        time.sleep(0.1)
    return spread(at - begun[numbers[poured]] for poured, at in first_byte.items())


def _maximum(stage: Stage, plan: Sequence[Prepared], seconds: float) -> tuple[float, float]:
    stage.fleet.take()
    used = stage.served_with()
    while stage.permits.acquire(block=False):
        pass
    for _ in range(maximum.OUTSTANDING):
        stage.permits.release()
    notifier = Notifier(stage.cloud_url, CAPTURE, maximum.CONNECTIONS)
    start = time.time()
    notifier.as_permitted(plan, stage.permits, maximum.WARM_UP_S + seconds)
    end = time.time()
    used = stage.served_with() - used
    posted = len(notifier.finish().begun)
    commanded = stage.fleet.take().commanded.values()
    begin = start + maximum.WARM_UP_S
    most = round(sum(begin <= at < end for at in commanded) / (end - begin), 1)
    return most, round(1000 * used / max(1, posted), 2)


def main(arguments: list[str] | None = None) -> int:
    """0 when it was measured."""
    parser = argparse.ArgumentParser(prog="bench.bare", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--seconds", type=float, default=DEFAULT.seconds, help="how long at each rate")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write bare-<date>.json there")
    options = parser.parse_args(arguments)
    found = []
    for deployment in map(Deployment, options.databases):
        try:
            found.append(run(deployment, replace(DEFAULT, seconds=options.seconds, maximum_seconds=options.seconds)))
        except Missing as missing:
            print(f"{deployment.value} left out: {missing}", file=sys.stderr)
    for bare in found:
        for rate, chain in bare.chain.items():
            told = f"{chain.p50:.1f} / {chain.p99:.1f}" if chain else "nothing came"
            print(f"{bare.deployment}: webhook to first byte, at {rate}: p50 / p99 ms {told}")
        print(f"{bare.deployment}: most commands a second: {bare.maximum:.0f}, {bare.cpu_ms:.1f} ms of processor each")
        for asked in bare.reads:
            print(f"{bare.deployment}: status reads a second, {asked.callers} callers: {asked.a_second:.0f}")
    if options.record:
        now = datetime.now(UTC)
        told_of = {"at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "machine": machine(), "software": software()}
        path = options.record / f"bare-{now:%Y%m%dT%H%M%S}.json"
        path.write_text(json.dumps(told_of | {"results": [asdict(bare) for bare in found]}, indent=1) + "\n")
        print(f"recorded in {path}", file=sys.stderr)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
