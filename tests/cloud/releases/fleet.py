"""Two machines of a fleet that a version is brought to, and what their agents answer."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cloud.alerts import platform_conditions
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities, machine_events
from cloud.fleet.availability import obstacle
from cloud.fleet.models import Device, DeviceLive
from cloud.releases import bundling, rollouts
from cloud.releases.models import Rollout, RolloutMachine
from cloud.releases.rollouts import Plan
from cloud.releases.stager import Stager
from protocol import bundle
from protocol.bundle import Manifest
from protocol.messages import Answer, Event
from protocol.reasons import AnswerStatus, EventKind
from tests.cloud.worlds import DEVICE, World

ANNA = "cli:anna"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = bundling.public_text(KEY.public_key())
URL = "https://pay.example.org"


def a_bundle(version: str = "0.2.0", key: Ed25519PrivateKey = KEY, machines: Sequence[str] = ()) -> bytes:
    signed = bundle.pack(Manifest(version=version, files={}, machines=list(machines)), {})
    return bundle.join(key.sign(signed), signed)


class Fleet:
    """Two machines, and what their agents answer."""

    def __init__(self, world: World) -> None:
        self.world = world
        ids = itertools.count(1)
        self.stager = Stager(world.database, URL, lambda: f"{next(ids)}")
        world.database.transact(rollouts.add, a_bundle(), [PUBLIC], ANNA, world.now)

    def start(self, *waves: str, soak_s: int = 60, first: tuple[str, ...] = (DEVICE,)) -> None:
        plan = Plan("0.2.0", waves or ("1", "all"), soak_s, first=first)
        self.world.database.transact(rollouts.start, plan, ANNA, self.world.now)

    def step(self, seconds: float = 0) -> None:
        self.world.clock.advance(seconds)
        self.stager.step(self.world.now)

    def asked(self) -> list[str]:
        """Machines with an update under way."""
        with self.world.database.read() as session:
            return sorted(session.scalars(select(DeviceJob.device_uuid).where(DeviceJob.ended_at.is_(None))))

    def answer(self, device: str, status: AnswerStatus, code: str = "", version: str = "0.2.0") -> None:
        with self.world.database.read() as session:
            job_id = session.scalars(
                select(DeviceJob.id).where(DeviceJob.device_uuid == device, DeviceJob.ended_at.is_(None))
            ).one()
        said = Answer(reference=job_id, asked="update", status=status, code=code)
        self.world.database.transact(device_jobs.answered, device, said, self.world.now)
        if status is AnswerStatus.DONE:
            self.world.database.transact(lambda tx: self._runs(tx, device, version))

    @staticmethod
    def _runs(tx, device: str, version: str) -> None:  # type: ignore[no-untyped-def]
        tx.session.get_one(DeviceLive, device).agent_version = version

    def soaks(self, soak_s: int) -> None:
        """The first machine has it, and is watched."""
        self.start(soak_s=soak_s)
        self.step()
        self.answer(DEVICE, AnswerStatus.DONE)
        self.step()

    def add(self, device: str) -> None:
        """One more machine."""

        def work(tx: Transaction) -> None:
            tx.session.add(Device(device_uuid=device, merchant_id="north", payment_scenario="Yookassa"))
            tx.session.flush()
            tx.session.add(DeviceLive(device_uuid=device, online=True))

        self.world.database.transact(work)

    def closes(self, device: str) -> None:
        def work(tx: Transaction) -> None:
            tx.session.get_one(Device, device).status = "closed"
            tx.session.get_one(DeviceLive, device).online = False

        self.world.database.transact(work)

    def revokes(self, device: str) -> None:
        self.world.database.transact(broker_identities.revoke, device, self.world.now)
        self.goes(device, online=False)

    def runs(self, device: str, version: str) -> None:
        self.world.database.transact(lambda tx: self._runs(tx, device, version))

    def goes(self, device: str, *, online: bool) -> None:
        def work(tx: Transaction) -> None:
            tx.session.get_one(DeviceLive, device).online = online

        self.world.database.transact(work)

    @staticmethod
    def starts(tx: Transaction, device: str, now: datetime) -> None:
        started = Event(message_id=f"{device}-{now:%H%M%S}", at=now, what=EventKind.AGENT_STARTED)
        machine_events.keep(tx, device, started, now)

    def state(self, number: int = 1) -> tuple[str, dict[str, str]]:
        with self.world.database.read() as session:
            machines = session.scalars(select(RolloutMachine).filter_by(rollout_id=number))
            return session.get_one(Rollout, number).state, {one.device_uuid: one.state for one in machines}

    def told(self) -> list[Mapping[str, object]]:
        """What those who watch over the service hear of a stopped rollout."""
        with self.world.database.read() as session:
            return [each.facts for each in platform_conditions.stopped_rollouts(session, self.world.now)]

    def obstacle(self, device: str) -> str:
        with self.world.database.read() as session:
            return obstacle(session.get_one(Device, device), session.get_one(DeviceLive, device), "")
