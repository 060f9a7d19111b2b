"""A world whose secrets are in `cloud.env` and `agent.env`, as on a host, and a shell there for our documents."""

import re
from collections.abc import Callable
from pathlib import Path

from simulator.machine import MachineSimulator
from tests.deploy.broker import CLOUD, PASSWORDS, ShippedBroker
from tests.deploy.shipped import DEPLOY, INSTALLED_IN, PROGRAMS
from tests.shell import Shell, blocks, section
from tests.system.fleet import KEY_VARIABLE, fleet_toml
from tests.system.restartable import Restartable
from tests.system.world import PROFILE, World
from tests.waiting import wait_until

DEVICE = "m-001"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
KEYS = "Changing keys"
METRICS_TOKEN = "a-token-of-sixteen"


class WorldWithFiles(World):
    """The broker as shipped, its certificate by the steps of deploy/README.md; the machine enrols by a code."""

    def __init__(
        self, folder: Path, broker: ShippedBroker, database_url: str, *, told_url: str = "", **more: str
    ) -> None:
        """`told_url`: the database's as the programs know it. `more`: lines of `cloud.env`."""
        self.etc, self.state, self.authority = folder / "etc", folder / "var", folder / "authority"
        for place in (self.etc, self.state, self.authority):
            place.mkdir(parents=True)
        self.shipped = broker
        self.cloud_env, self.agent_env = self.etc / "cloud.env", self.etc / "agent.env"
        (self.state / ".env").symlink_to(self.cloud_env)
        self._told_url = told_url or database_url
        self._more = more
        self._between: list[Callable[[], None]] = []
        super().__init__(folder, broker, database_url, webs=1, workers=1, agents=False)
        places = {
            "/etc/coffee-relay": str(self.etc),
            "/etc/mosquitto/secrets": str(broker.certificate.parent),
            "/var/lib/coffee-cloud": str(self.state),
            INSTALLED_IN: str(PROGRAMS),
            "https://pay.example.org": self.url,
            "broker.example.org": "localhost",
        }
        self.shell = Shell(folder / "stand-ins", places, self._asked)

    def begin(self, more: str = "") -> None:
        """The broker gets its certificate, the machine its settings, `more` of them from us; it sells."""
        made = next(
            block for block in blocks(section(DEPLOY / "README.md", "The broker's secrets")) if "openssl" in block
        )
        self.shell.run(made, cwd=self.authority)
        broker_has = self.shipped.certificate.parent
        for name in ("server.crt", "server.key"):
            (broker_has / name).write_bytes((self.authority / name).read_bytes())
        self.shipped.reload()
        self.shipped.trusted = self.etc / "broker-ca.crt"
        (self.etc / "broker-ca.crt").write_bytes((self.authority / "ca.crt").read_bytes())
        self.cloud_env.write_text(
            self.cloud_env.read_text().replace("#COFFEE_MACHINES_MQTT_CA", "COFFEE_MACHINES_MQTT_CA")
        )
        self.web.stop()
        self.web.start()
        self.wait_ready()
        self.agent_env.write_text(f"COFFEE_AGENT_SERIAL={self.machine.tty}\n{more}")
        self.change("A machine's password at the broker")

    def change(self, heading: str, *between: Callable[[], None], **environ: str) -> str:
        """Run the steps below a heading; what `between` holds happens after the first block, the second, and so on."""
        self._between = list(between)
        whole = section(OPERATIONS, KEYS)
        steps = blocks(section(OPERATIONS, heading))
        said = self.shell.run(blocks(whole)[0], *steps, cwd=self.authority, **environ)
        self.wait_ready()
        wait_until(lambda: self.agent.pid != 0)
        self.wait_selling()
        return said

    def secret(self, name: str) -> str:
        """As `cloud.env` has it."""
        found = re.search(rf"^{name}=(.*)$", self.cloud_env.read_text(), re.MULTILINE)
        assert found, name
        return found[1]

    def systemctl(self, *words: str) -> None:
        """As a step would."""
        self._asked(["systemctl", *words])

    def _asked(self, words: list[str]) -> None:
        match words:
            case ["pause", number]:
                if 0 < int(number) <= len(self._between):
                    self._between[int(number) - 1]()
            case ["systemctl", "reload", "mosquitto"]:
                self.shipped.reload()
            case ["systemctl", "restart", "mosquitto"]:
                self.shipped.stop()
                self.shipped.start()
            case ["systemctl", "restart", unit]:
                for program in {"coffee-cloud-*": [self.worker, self.web], "coffee-agent": [self.agent]}[unit]:
                    program.stop()
                    program.start()
            case _:
                raise AssertionError(f"a step asks for {words}")

    # What programs are told

    def apply(self, capture: str) -> None:
        (self.etc / "fleet.toml").write_text(fleet_toml(self.devices, capture), encoding="utf-8")
        super().apply(capture)

    def _cloud(self) -> tuple[list[Restartable], list[Restartable]]:
        for name in ("web-0", "worker-0"):
            self._link(self.folder / name)
        return super()._cloud()

    def _link(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        if not (folder / ".env").is_symlink():
            (folder / ".env").symlink_to(self.cloud_env)

    def _settings(self, port: int) -> dict[str, str]:
        kept = super()._settings(port)
        in_file = {
            name: kept.pop(name)
            for name in ("COFFEE_SECRET_KEY", "COFFEE_DATABASE_URL", "COFFEE_MQTT_URL", KEY_VARIABLE)
        } | self._more | {
            "COFFEE_DATABASE_URL": self._told_url,
            "#COFFEE_OLD_SECRET_KEYS": "",
            "COFFEE_MQTT_USER": CLOUD,
            "COFFEE_MQTT_PASSWORD": PASSWORDS[CLOUD],
            "COFFEE_BROKER_RIGHTS": "dynamic-security",
            "COFFEE_MACHINES_MQTT_URL": f"mqtts://localhost:{self.shipped.machines_port}",
            "#COFFEE_MACHINES_MQTT_CA": str(self.etc / "broker-ca.crt"),
            "COFFEE_METRICS_TOKEN": METRICS_TOKEN,
        }  # fmt: skip
        if not self.cloud_env.exists():
            common = {name: value for name, value in kept.items() if name != "COFFEE_BIND"}
            lines = [f"{name}={value}\n" for name, value in (common | in_file).items()]
            self.cloud_env.write_text("".join(lines))
        return {"COFFEE_BIND": kept["COFFEE_BIND"]}

    def agent_at(self, machine: MachineSimulator, name: str, folder: str = "") -> Restartable:
        """All it is told by a person is in its file."""
        place = self.folder / (folder or name)
        place.mkdir()
        (place / ".env").symlink_to(self.agent_env)
        profile = self.folder / "profile.toml"
        profile.write_text(PROFILE)
        settings = {
            "COFFEE_AGENT_STATE_DIR": str(place / "state"),
            "COFFEE_AGENT_PROFILE": str(profile),
            "COFFEE_AGENT_LOG": "text",
        }
        return Restartable("agent", ["run"], place, settings)
