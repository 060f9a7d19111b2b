"""The whole system as real programs around one database and one broker, with machines and provider in this process.

Starts, stops, kills; buys. What must hold of every order in the end is `promises.py`'s.
"""

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import requests
from click.testing import CliRunner
from sqlalchemy import update

from cloud.cli import main
from cloud.database.database import Database
from cloud.fleet.apply import apply
from cloud.fleet.models import Device, DeviceLive, Drink
from cloud.fleet.vault import Vault
from protocol.reasons import Size
from simulator.machine import MachineSimulator, Timing
from simulator.shell.webhooks import Mischief
from simulator.yookassa import Shop, YooKassaSimulator
from simulator.yookassa.state import Payment
from tests.cloud import migrated
from tests.programs import free_port
from tests.system.fleet import KEY_VARIABLE, SHOP, SHOP_KEY, fleet_toml
from tests.system.gate import Gate
from tests.system.restartable import Restartable
from tests.waiting import wait_until

START_WITHIN_S = 120.0
LIMITS = {
    "COFFEE_MAKE_DEADLINE_S": "6",
    "COFFEE_ACK_TIMEOUT_S": "8",
    "COFFEE_MAKE_TIMEOUT_S": "20",
    "COFFEE_UNCERTAIN_GRACE_S": "3",
    "COFFEE_PAYMENT_POLL_FAST_S": "1",
    "COFFEE_PAYMENT_POLL_SLOW_S": "2",
    "COFFEE_YOOKASSA_RATE": "1000",
}
"""Long enough for a program to be started again under way, short enough to wait out."""
PROFILE = """\
name = "companion-v1"
[timers]
make_verdict = 1.0
query_reply = 0.5
accepted_to_brewing = 2.0
max_brew = 8.0
gate_patience = 3.0
unknown_deadline = 10.0
recheck = 2.0
"""
TIMING = Timing(brew_s=1.5, boot_s=0.2, heating_s=0.0, heartbeat_s=0.5)


class Broker(Protocol):
    """Whatever MQTT broker the world has."""

    @property
    def url(self) -> str: ...

    @property
    def is_running(self) -> bool: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Bought:
    """An order of a buyer."""

    order_id: str
    device: str
    price: int
    """Kopecks, as the machine's screen shows it."""


class World:
    """`with World(...) as world:` and everything runs; leaving it ends everything.

    `webs` and `workers` 0: `coffee-cloud run`, one process (SQLite). The provider is reached through `gate`.
    """

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        database_url: str,
        *,
        webs: int = 1,
        workers: int = 1,
        devices: Sequence[str] = ("m-001",),
        capture: str = "on_dispense",
        limits: Mapping[str, str] | None = None,
        agents: bool = True,
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.devices = list(devices)
        self.database = Database(database_url)
        self.bought: list[Bought] = []
        self._capture = capture
        self._limits = {**LIMITS, **(limits or {})}
        self._database_url = database_url
        self._secret_key = secrets.token_urlsafe(32)
        self._closing = ExitStack()
        self._ports = [free_port() for _ in range(webs or 1)]
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self._has_agents = agents
        self._split = bool(webs or workers)
        self._worker_count = workers

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    # The programs

    @property
    def worker(self) -> Restartable:
        """The first of those that work in the background."""
        return self.workers[0]

    @property
    def web(self) -> Restartable:
        return self.webs[0]

    @property
    def agent(self) -> Restartable:
        return self.agents[self.devices[0]]

    @property
    def machine(self) -> MachineSimulator:
        return self.machines[self.devices[0]]

    @property
    def programs(self) -> list[Restartable]:
        """Ours, each once."""
        return list(dict.fromkeys([*self.webs, *self.workers, *self.agents.values()]))

    def apply(self, capture: str) -> None:
        """The merchant now holds money (`on_dispense`) or takes it at once (`immediate`)."""
        apply(self.database, Vault(self._secret_key), fleet_toml(self.devices, capture), {KEY_VARIABLE: SHOP_KEY})

    def mend(self) -> None:
        """Whatever a test has broken, as it was at the start."""
        if not self.broker.is_running:
            self.broker.start()
        self.gate.open()
        self.provider.faults.clear()
        self.provider.webhooks.mischief = Mischief()
        for machine in self.machines.values():
            machine.controls.switch_all_off()
        for program in self.programs:
            if not program.pid:
                program.start()
        self._open_all()
        self.wait_ready()
        self.wait_selling()

    def _open_all(self) -> None:
        """What closed by itself while a test failed drinks."""
        opened = {"closed_since": None, "closed_by": "", "opened_at": datetime.now(UTC)}
        for table in (Device, Drink):
            self.database.transact(lambda tx, table=table: tx.session.execute(update(table).values(opened)))

    def wait_ready(self) -> None:
        """Return once every web process says that the service works."""
        for url in self.urls:
            wait_until(lambda url=url: _answers_200(f"{url}/ready"), START_WITHIN_S, what=f"{url} to be ready")  # type: ignore[misc]  # a default binds the loop's url

    def wait_selling(self, *devices: str) -> None:
        """Return once these machines (all, if none is named) are known to be online, idle and able to pour."""
        for device in devices or self.devices:
            wait_until(lambda device=device: self._is_selling(device), START_WITHIN_S, what=f"{device} to sell")  # type: ignore[misc]  # a default binds the loop's device

    # The buyer

    def order(self, device: str = "", drink: str = "americano", size: Size = Size.MEDIUM) -> Bought:
        """Choose a drink at the machine and scan its code."""
        device = device or self.devices[0]
        machine = self.machines[device]
        link = machine.controls.offer(drink, size)
        price = next(button["prices"][int(size)] for button in machine.controls.menu() if button["drink_no"] == drink)
        bought = Bought(link.order_uuid, device, price)
        answer = requests.get(link.url, timeout=30)
        assert answer.status_code == 200, answer.text
        self.bought.append(bought)
        return bought

    def open_payment(self, bought: Bought, url: str = "") -> requests.Response:
        """Press "pay" once, whatever comes of it."""
        return requests.post(f"{url or self.url}/v1/initiate-payment", json={"order_id": bought.order_id}, timeout=60)

    def payment_of(self, bought: Bought, *, patience_s: float = 30.0) -> str:
        """Press "pay" until the provider's page opens; the provider's id of the payment."""
        opened: list[str] = []

        def is_open() -> bool:
            answer = self.open_payment(bought)
            assert answer.status_code in {200, 503}, answer.text
            if answer.status_code == 200:
                opened.append(str(answer.json()["redirect_url"]).rpartition("=")[2])
            return bool(opened)

        wait_until(is_open, patience_s, what="the payment page")
        return opened[0]

    def pay(self, bought: Bought) -> str:
        """From the order's page to the end of the provider's page; the provider's id of the payment."""
        payment_id = self.payment_of(bought)
        self.provider.pay(payment_id)
        return payment_id

    def buy(self, device: str = "", drink: str = "americano") -> Bought:
        """Scan and pay."""
        bought = self.order(device, drink)
        self.pay(bought)
        return bought

    def buy_at_once(self, devices: Sequence[str]) -> list[Bought]:
        """Several buyers at the same moment, one at each machine named."""
        with ThreadPoolExecutor(len(devices)) as buyers:
            return list(buyers.map(self.buy, devices))

    def payments(self, bought: Bought) -> list[Payment]:
        """The order's payments in the provider's own books."""
        entries, _, _ = self.provider.provider.snapshot()
        return [payment for payment, _ in entries if payment.request.metadata.get("order_id") == bought.order_id]

    def logs(self) -> str:
        """The ends of all logs, for a failed test."""
        ends = [f"--- {program.name}\n{program.output()[-4000:]}" for program in self.programs]
        told = [str(line) for line in self.provider.webhooks.log()[-10:]]
        return "\n".join([*ends, "--- notifications", *told])

    # Starting

    def _start(self) -> None:
        self._closing.callback(self.database.close)
        self.provider = self._closing.enter_context(
            YooKassaSimulator(shops=[Shop(id=SHOP, secret=SHOP_KEY)], webhook_url=f"{self.url}/v1/yook-pay-webhook")
        )
        self.gate = self._closing.enter_context(Gate(urlsplit(self.provider.address).port or 0))
        self.machines = {
            name: self._closing.enter_context(
                MachineSimulator(
                    tty=self.folder / f"{name}.tty",
                    http=None,
                    device_uuid=name,
                    cloud_url=self.url,
                    timing=TIMING,
                    seed=seed,  # else two of them would give two orders one name
                )
            )
            for seed, name in enumerate(self.devices)
        }
        migrated.bring(self.database)
        self.apply(self._capture)
        self.webs, self.workers = self._cloud()
        self.agents = {name: self.agent_at(machine, name) for name, machine in self.machines.items()}
        started = [*dict.fromkeys([*self.webs, *self.workers]), *(self.agents.values() if self._has_agents else ())]
        self._closing.callback(self._stop_all)
        for program in started:
            program.start()
        self.wait_ready()
        if self._has_agents:
            self.wait_selling()

    def _stop_all(self) -> None:
        with ThreadPoolExecutor(len(self.programs)) as slots:
            list(slots.map(Restartable.stop, self.programs))

    def once(self, *words: str) -> str:
        """A command of `coffee-cloud` that must end well; what it said."""
        told = CliRunner().invoke(main, words, env=self._settings(self._ports[0]))
        assert told.exit_code == 0, f"{words} ended with {told.exit_code}:\n{told.output}"
        return told.output

    def _cloud(self) -> tuple[list[Restartable], list[Restartable]]:
        if not self._split:
            both = Restartable("cloud", ["run"], self.folder / "cloud", self._settings(self._ports[0]))
            return [both], [both]
        webs = [
            Restartable("cloud", ["web"], self.folder / f"web-{index}", self._settings(port))
            for index, port in enumerate(self._ports)
        ]
        workers = [
            Restartable("cloud", ["worker"], self.folder / f"worker-{index}", self._settings(self._ports[0]))
            for index in range(self._worker_count)
        ]
        return webs, workers

    def _settings(self, port: int) -> dict[str, str]:
        return self._limits | {
            "COFFEE_SECRET_KEY": self._secret_key,
            "COFFEE_DATABASE_URL": self._database_url,
            "COFFEE_MQTT_URL": self.broker.url,
            "COFFEE_PUBLIC_URL": self.url,
            "COFFEE_BIND": f"127.0.0.1:{port}",
            "COFFEE_YOOKASSA_URL": f"{self.gate.address}/v3",
            "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "127.0.0.1/32",
            KEY_VARIABLE: SHOP_KEY,
        }

    def agent_at(self, machine: MachineSimulator, name: str, folder: str = "") -> Restartable:
        """The agent beside this machine, not started: in a folder of its own, under the device's name."""
        place = self.folder / (folder or name)
        profile = self.folder / "profile.toml"
        profile.write_text(PROFILE)
        settings = {
            "COFFEE_AGENT_DEVICE_UUID": name,
            "COFFEE_AGENT_MQTT_URL": self.broker.url,
            "COFFEE_AGENT_SERIAL": machine.tty,
            "COFFEE_AGENT_STATE_DIR": str(place / "state"),
            "COFFEE_AGENT_PROFILE": str(profile),
            "COFFEE_AGENT_LOG": "text",
        }
        return Restartable("agent", ["run"], place, settings)

    def _is_selling(self, device: str) -> bool:
        with self.database.read() as session:
            live = session.get(DeviceLive, device)
        state = (live.state or {}) if live is not None and live.online else {}
        return (state.get("link"), state.get("selling"), state.get("machine")) == ("up", True, "ready")


def _answers_200(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
