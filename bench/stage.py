"""Everything a measurement needs, running: broker, database, cloud, agents, and the stand-ins around them."""

import contextlib
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import requests

from bench import orders, past, postgres
from bench.answering import Fleet, FleetTimes
from bench.machines import Machines
from bench.orders import Prepared
from bench.parts import Part, semaphore
from bench.programs import Running, Weight, bytes_written, cpu_seconds, mosquitto, ours, weigh
from bench.provider import Provider, ProviderTimes
from simulator.demo.programs import DidNotStart, answers, free_port

START_WITHIN_S = 60.0
_LIMITS = {"COFFEE_FAST_TRACK_S": "7200", "COFFEE_YOOKASSA_RATE": "100000", "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "*"}
"""Our own limit on calls to one shop would otherwise be what is measured."""


class Deployment(StrEnum):
    """The ways to run the cloud."""

    SQLITE = "sqlite"
    """`coffee-cloud run`: one process."""
    POSTGRESQL = "postgresql"
    """`coffee-cloud web` and `coffee-cloud worker`."""
    POSTGRESQL_RUN = "postgresql-run"
    """One `coffee-cloud run`, as many may stand in place of the worker (docs/operations.md)."""
    SQLITE_APART = "sqlite-apart"
    """The two programs on one SQLite file; only looked at while it rests (`bench.idle`)."""

    @property
    def on_postgresql(self) -> bool:
        """Whether it needs a server."""
        return self in {Deployment.POSTGRESQL, Deployment.POSTGRESQL_RUN}

    @property
    def in_one_process(self) -> bool:
        """Whether one program does all."""
        return self in {Deployment.SQLITE, Deployment.POSTGRESQL_RUN}


DATABASES = [str(Deployment.SQLITE), str(Deployment.POSTGRESQL)]
"""Each database, run as it is shipped."""
UNDER_WORK = [*DATABASES, str(Deployment.POSTGRESQL_RUN)]
"""The ways whose chain is measured."""


class Missing(Exception):
    """This machine lacks what the deployment needs."""


class Stage:
    """`with Stage(...) as stage:` starts everything; leaving it stops everything and removes its folder."""

    cloud_module: Sequence[str] = ("cloud",)
    """What is run as the cloud, and the first of its words."""
    fleet_kind: type[Fleet] = Fleet
    past = past.ORDERS
    """How many orders were sold before."""

    def __init__(
        self, deployment: Deployment, agents: int, devices: int, prepared: Sequence[Prepared], capture: str
    ) -> None:
        self.capture = capture
        self.agents = [orders.device_uuid(index) for index in range(agents)]
        self.permits: Any = semaphore(0)
        self._deployment = deployment
        self._devices = devices
        self._prepared = prepared
        self._closing = contextlib.ExitStack()
        self._programs: list[Running] = []
        self._parts: list[Part[Any]] = []
        self._agent_began: dict[str, float] = {}
        self._online: dict[str, float] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def weights(self) -> dict[str, Weight | None]:
        """The memory of every program that is ours or that ours need."""
        return {program.name: weigh(program.pid) for program in self._programs}

    def cpu(self) -> dict[str, float]:
        """Processor seconds used so far, the stand-ins included."""
        used = {program.name: cpu_seconds(program.pid) for program in self._programs}
        return used | {f"bench {part.name}": cpu_seconds(part.pid) for part in self._parts}

    def served_with(self) -> float:
        """Processor seconds of the cloud and its database so far."""
        return sum(used for name, used in self.cpu().items() if not name.startswith(("bench ", "agent ", "mosquitto")))

    def written(self) -> dict[str, int]:
        """Bytes each of those programs has had written to a disk so far."""
        return {program.name: bytes_written(program.pid) for program in self._programs}

    def agent_starts(self) -> list[float]:
        """Seconds from each agent's start to its presence at the broker."""
        return [self._online[name] - began for name, began in self._agent_began.items()]

    def journal_times(self) -> dict[str, dict[str, float]]:
        """By order: when its agent's journal reached each state, seconds since 1970."""
        times: dict[str, dict[str, float]] = {}
        for name in self.agents:
            path = self.folder / name / "state" / "journal.db"
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
                sql = "SELECT order_id, history.state, at FROM history JOIN command USING (command_id)"
                for order_id, state, at in journal.execute(sql):
                    times.setdefault(order_id, {}).setdefault(state, datetime.fromisoformat(at).timestamp())
        return times

    def statuses(self) -> dict[str, int]:
        """How many orders stand where."""
        return orders.statuses(self.database_url)

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="coffee-bench-"))
        self.folder.chmod(0o755)  # PostgreSQL and Mosquitto become other users and must pass
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.database_url = self._start_database()
        mqtt_url = self._start_broker()
        self.provider: Part[ProviderTimes] = self._part("provider", Provider, self.capture)
        self._start_stand_ins(mqtt_url)
        self._start_cloud(mqtt_url)
        self._start_agents(mqtt_url)

    def _start_stand_ins(self, mqtt_url: str) -> None:
        self.fleet: Part[FleetTimes] = self._part("fleet", self.fleet_kind, mqtt_url, self.agents, self.permits)
        self.machines: Part[dict[str, float]] = self._part("machines", Machines, len(self.agents))

    def _part(self, name: str, build: Any, *arguments: Any) -> Part[Any]:
        part: Part[Any] = self._closing.enter_context(Part(name, build, *arguments))
        self._parts.append(part)
        return part

    def _start_database(self) -> str:
        if not self._deployment.on_postgresql:
            return f"sqlite:///{self.folder}/coffee.db"
        program = postgres.find()
        if program is None:
            raise Missing("no PostgreSQL on this machine")
        url, server = self._closing.enter_context(postgres.a_postgres(program, self.folder / "pg"))
        self._programs.append(server)
        return url

    def _start_broker(self) -> str:
        port = free_port()
        program = mosquitto(self._subfolder("mosquitto"), port)
        if program is None:
            raise Missing("no Mosquitto on this machine")
        self._run(program, lambda: answers(port))
        return f"mqtt://127.0.0.1:{port}"

    def _start_cloud(self, mqtt_url: str) -> None:
        port = free_port()
        self.cloud_url = f"http://127.0.0.1:{port}"
        secret_key = secrets.token_urlsafe(32)
        orders.prepare_fleet(self.database_url, secret_key, self._devices, self.capture)
        self._prepare_history()
        settings = _LIMITS | {
            "COFFEE_SECRET_KEY": secret_key,
            "COFFEE_DATABASE_URL": self.database_url,
            "COFFEE_MQTT_URL": mqtt_url,
            "COFFEE_PUBLIC_URL": self.cloud_url,
            "COFFEE_BIND": f"127.0.0.1:{port}",
            "COFFEE_YOOKASSA_URL": self.provider.address,
        }
        words = self._words()
        for place, word in enumerate(words):
            name = word if words.index(word) == place else f"{word} {words[:place].count(word) + 1}"
            module, *first = self.cloud_module
            program = ours(module, [*first, word], f"cloud {name}", self._subfolder(f"cloud-{name}"), settings)
            self._run(program, self._cloud_is_ready if word == words[-1] else lambda: True)
        if self._prepared:
            orders.prepare_orders(self.database_url, self._prepared, self.capture)
        if self.past:
            past.let_server_look(self.database_url)

    def _prepare_history(self) -> None:
        """What was sold before."""
        past.write(self.database_url, self.past, self._devices)

    def _words(self) -> list[str]:
        """The cloud's programs, the one that serves the last."""
        return ["run"] if self._deployment.in_one_process else ["worker", "web"]

    def _start_agents(self, mqtt_url: str) -> None:
        for name, tty in zip(self.agents, self.machines.address, strict=True):
            settings = {
                "COFFEE_AGENT_DEVICE_UUID": name,
                "COFFEE_AGENT_MQTT_URL": mqtt_url,
                "COFFEE_AGENT_SERIAL": tty,
                "COFFEE_AGENT_STATE_DIR": str(self.folder / name / "state"),
            }
            self._agent_began[name] = time.time()
            self._run(ours("agent", ["run"], f"agent {name}", self._subfolder(name), settings), lambda: True)
            self._wait_online(name)

    def _wait_online(self, name: str) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while name not in self._online:
            self._online |= self.fleet.take().online
            if time.monotonic() > deadline:
                raise DidNotStart(f"{name} never came online")
            time.sleep(0.05)

    def _cloud_is_ready(self) -> bool:
        try:
            return requests.get(f"{self.cloud_url}/ready", timeout=2).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _run(self, program: Running, ready: Callable[[], bool]) -> None:
        program.start()
        self._closing.callback(program.stop)
        program.wait_for(ready, START_WITHIN_S)
        self._programs.append(program)

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder
