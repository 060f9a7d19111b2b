"""Everything the demo needs, running: broker, provider, machine, cloud, agent. Opens nothing outside 127.0.0.1."""

import contextlib
import secrets
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import requests

from simulator.broker.server import Broker
from simulator.demo import history, log_lines
from simulator.demo.fleet import DEVICE, KEY_VARIABLE, MERCHANT, SHOP, fleet_toml
from simulator.demo.presence import Ear
from simulator.demo.programs import DidNotStart, Program, answers, free_port, mosquitto, ours, undisturbed
from simulator.machine.menu import STANDARD_MENU
from simulator.machine.power import Timing
from simulator.machine.simulator import MachineSimulator
from simulator.messengers.server import Messengers
from simulator.yookassa.server import YooKassaSimulator
from simulator.yookassa.shops import Shop

START_WITHIN_S = 60.0
OPERATOR, OPERATOR_PASSWORD = "demo@example.org", "coffee-for-all"
"""The operator of the demo's console. The password is no secret: all of the demo listens on this machine only."""
OPERATOR_OPTIONS = (
    OPERATOR, "--name", "Анна", "--merchant", MERCHANT, "--role", "owner", "--no-second-factor", "--password-stdin",
)  # fmt: skip
CHAT = "-100500"
"""The chat in which the operator is told of troubles."""

PATIENT = {"COFFEE_MAKE_DEADLINE_S": "20", "COFFEE_ACK_TIMEOUT_S": "30", "COFFEE_MAKE_TIMEOUT_S": "60",
           "COFFEE_UNCERTAIN_GRACE_S": "15"}  # fmt: skip
"""Limits for a person who watches: shorter than a merchant's, so that a failure is seen to its end."""
HURRIED = {"COFFEE_MAKE_DEADLINE_S": "5", "COFFEE_ACK_TIMEOUT_S": "8", "COFFEE_MAKE_TIMEOUT_S": "25",
           "COFFEE_UNCERTAIN_GRACE_S": "3"}  # fmt: skip
"""Limits for `--once`, where nobody watches."""


class Stage:
    """`with Stage(...) as stage:` starts everything; leaving it stops everything and removes its folder."""

    def __init__(
        self, limits: dict[str, str], brew_s: float, home_port: int = 0, capture: str = "on_dispense",
        own_broker: bool = False, usual_ports: bool = False, has_operator: bool = False,
    ) -> None:  # fmt: skip
        self._limits = limits
        self._brew_s = brew_s
        self._capture = capture
        self._own_broker = own_broker
        self._usual_ports = usual_ports
        self._has_operator = has_operator
        self._resuming: Program | None = None
        self._closing = contextlib.ExitStack()
        self.home = f"http://127.0.0.1:{home_port}" if home_port else None
        self.broker = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def wait_selling(self) -> None:
        """Return once the machine can be sold from; `DidNotStart` with the agent's log when it never can."""
        if not self._ear.wait_selling(START_WITHIN_S):
            raise DidNotStart(f"the machine never came online\n{self.logs()}")

    def restart_agent(self) -> None:
        """The agent's power comes back."""
        self.agent.start()
        self.wait_selling()

    def logs(self) -> str:
        """The ends of the programs' logs."""
        ends = [f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.folder.glob("*/*.log")]
        return "\n".join(ends)

    def log_lines_about(self, order_id: str) -> list[str]:
        """What cloud and agent have logged about an order, oldest first. Ends both first: they may still write."""
        self.agent.stop()
        self.cloud.stop()
        return log_lines.about(order_id, (self.folder / "cloud" / "cloud.log", self.folder / "agent" / "agent.log"))

    def _end(self) -> None:
        with undisturbed():  # Ctrl-C twice must not leave half of it running
            self._closing.close()

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="coffee-demo-"))
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        cloud_port = self._port(8080)
        self.cloud_url = f"http://127.0.0.1:{cloud_port}"
        mqtt_url = self._start_broker()
        key = secrets.token_urlsafe(24)
        self.yookassa = YooKassaSimulator(
            port=self._port(8090),
            shops=[Shop(id=SHOP, secret=key)],
            webhook_url=f"{self.cloud_url}/v1/yook-pay-webhook",
        )
        self._closing.enter_context(self.yookassa)
        self.messengers = Messengers(port=self._port(8093))
        self._closing.enter_context(self.messengers)
        self.machine = MachineSimulator(
            tty=self.folder / "machine.tty", http=self._port(8070), device_uuid=DEVICE, cloud_url=self.cloud_url,
            home_url=self.home, timing=Timing(brew_s=self._brew_s),
            on_repair=self._resume if self._has_operator else None,
        )  # fmt: skip
        self._closing.enter_context(self.machine)
        self._ear = Ear(mqtt_url, DEVICE)
        self._closing.callback(self._ear.close)
        self._start_cloud(cloud_port, mqtt_url, key)
        self._start_agent(mqtt_url)

    def _port(self, usual: int) -> int:
        """The usual port, when that is wanted and it is free; else any, so that several demos may start at once."""
        return free_port(usual if self._usual_ports else 0)

    def _start_broker(self) -> str:
        port = self._port(1883)
        program = None if self._own_broker else mosquitto(self._subfolder("broker"), port)
        if program is None:
            self._closing.enter_context(Broker(port))
            self.broker = "the development broker"
        else:
            self._run(program)
            program.wait_for(lambda: answers(port), START_WITHIN_S)
            self.broker = "Mosquitto"
        return f"mqtt://127.0.0.1:{port}"

    def _start_cloud(self, port: int, mqtt_url: str, key: str) -> None:
        folder = self._subfolder("cloud")
        settings = self._limits | {
            "COFFEE_SECRET_KEY": secrets.token_urlsafe(32),
            "COFFEE_DATABASE_URL": f"sqlite:///{folder}/coffee.db",
            "COFFEE_MQTT_URL": mqtt_url,
            "COFFEE_PUBLIC_URL": self.cloud_url,
            "COFFEE_BIND": f"127.0.0.1:{port}",
            "COFFEE_YOOKASSA_URL": self.yookassa.url,
            "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "127.0.0.1/32",
            "COFFEE_TELEGRAM_URL": self.messengers.address,
            "COFFEE_TELEGRAM_TOKEN": self.messengers.token,
            "COFFEE_LOG": "json",
            KEY_VARIABLE: key,
        }
        (folder / "fleet.toml").write_text(fleet_toml(STANDARD_MENU, self._capture), encoding="utf-8")
        steps = [["migrate"], ["apply", "fleet.toml"]]
        if self._has_operator:
            steps.append(["alerts", "add", MERCHANT, "telegram", "--", CHAT])
        for step in steps:
            self._finish(ours("cloud", step, f"cloud-{step[0]}", folder, settings))
        if self._has_operator:
            past = history.write(folder / "coffee.db", STANDARD_MENU, datetime.now(UTC), self._brew_s)
            self.yookassa.provider.remember(past)
            self._finish(
                ours("cloud", ["user", "add", *OPERATOR_OPTIONS], "cloud-user", folder, settings, OPERATOR_PASSWORD)
            )
            self._resuming = ours("cloud", ["resume", DEVICE, "--by", OPERATOR], "cloud-resume", folder, settings)
            self._closing.callback(self._resuming.stop)
        self.cloud = ours("cloud", ["run"], "cloud", folder, settings)
        self._run(self.cloud)
        self.cloud.wait_for(self._cloud_is_ready, START_WITHIN_S)

    def _start_agent(self, mqtt_url: str) -> None:
        folder = self._subfolder("agent")
        settings = {
            "COFFEE_AGENT_DEVICE_UUID": DEVICE,
            "COFFEE_AGENT_MQTT_URL": mqtt_url,
            "COFFEE_AGENT_SERIAL": self.machine.tty,
            "COFFEE_AGENT_STATE_DIR": str(folder / "state"),
        }
        self.agent = ours("agent", ["run"], "agent", folder, settings)
        self._run(self.agent)

    def _resume(self) -> None:
        """All is mended, somebody has looked: what its faults have stopped or closed sells again."""
        if self._resuming is not None and not self._resuming.running:
            self._resuming.start()

    def _cloud_is_ready(self) -> bool:
        try:
            return requests.get(f"{self.cloud_url}/ready", timeout=2).status_code == 200
        except (requests.ConnectionError, requests.Timeout):  # a busy machine answers late
            return False

    def _finish(self, program: Program) -> None:
        self._run(program)
        code = program.wait(START_WITHIN_S)
        if code != 0:
            raise DidNotStart(f"{program.name} ended with {code}:\n{program.log.read_text(errors='replace')[-2000:]}")

    def _run(self, program: Program) -> None:
        self._closing.callback(program.stop)
        program.start()

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder
