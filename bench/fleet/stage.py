"""The cloud as deployed, the broker as shipped, a fleet of simulated agents, and the provider's stand-in."""

import resource
from collections.abc import Sequence

from sqlalchemy import create_engine, text

from bench.fleet.agent import FleetRecord
from bench.fleet.agents import Agents
from bench.fleet.broker import CLOUD, PASSWORD, ShippedBroker
from bench.orders import Prepared, device_uuid
from bench.parts import Part
from bench.stage import Deployment, Stage
from cloud.database.database import normalise_url

MOVING = 100
"""Agents whose state changes by itself, to see how soon the cloud knows; all others say theirs once a minute."""
MOVES_EVERY_S = 4.0


class FleetStage(Stage):
    """`with FleetStage(...) as stage:`; the agents connect so many a second."""

    def __init__(
        self, deployment: Deployment, devices: int, prepared: Sequence[Prepared], workers: int, *, tls: bool,
        a_second: float, moving: int = MOVING,
    ) -> None:  # fmt: skip
        super().__init__(deployment, 0, devices, prepared, "on_dispense")
        self.workers = workers if deployment is Deployment.POSTGRESQL else 1
        self._tls = tls
        self._a_second = a_second
        self.moving = moving
        self.names = [device_uuid(index) for index in range(devices)]

    def rows_written(self) -> int:
        """Rows of machines' live state inserted or updated so far; PostgreSQL only."""
        if self._deployment is not Deployment.POSTGRESQL:
            return 0
        counted = "SELECT sum(n_tup_upd + n_tup_ins) FROM pg_stat_user_tables WHERE relname = 'device_live'"
        engine = create_engine(normalise_url(self.database_url))
        try:
            with engine.connect() as connection:
                return int(connection.execute(text(counted)).scalar() or 0)
        finally:
            engine.dispose()

    def _start_broker(self) -> str:
        _allow_many_files()
        self.broker = ShippedBroker(self._subfolder("mosquitto"), self.names)
        self._run(self.broker, self.broker.is_ready)
        return f"mqtt://{CLOUD}:{PASSWORD}@127.0.0.1:{self.broker.cloud_port}"

    def _start_stand_ins(self, mqtt_url: str) -> None:
        """Start none: agents take the place of the one that answers for all; they find the cloud listening."""

    def _words(self) -> list[str]:
        if self._deployment is Deployment.SQLITE:
            return ["run"]
        return [*["worker"] * self.workers, "web"]

    def _start_agents(self, mqtt_url: str) -> None:
        address = ("localhost", self.broker.machines_port) if self._tls else ("127.0.0.1", self.broker.cloud_port)
        certificate = str(self.broker.certificate) if self._tls else ""
        self.fleet_of_agents: Part[FleetRecord] = self._part(
            "agents", Agents, self.names, address, certificate, self._a_second, self.moving, MOVES_EVERY_S
        )


def _allow_many_files() -> None:
    """Raise the limit of this process, which the broker and the agents inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
