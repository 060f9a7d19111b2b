"""A till whose database can be put back to an earlier moment, while its provider and its machines go on."""

from pathlib import Path

from sqlalchemy import delete, update

from cloud.background.heartbeat import WorkerLife
from cloud.backup import programs
from cloud.backup.archive import Manifest
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.orders import making, restores
from cloud.orders.deadlines import Deadlines
from cloud.orders.making import derived_command_id
from cloud.payments.restore_from_lists import RestoreFromLists
from protocol.messages import Evidence, Outcome
from protocol.reasons import Result
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE


class Restorable:
    """`till` goes on selling; `back_up` and `restore` are the programs, on this very database."""

    def __init__(self, till: Till, folder: Path) -> None:
        self.till, self.world = till, till.world
        self.file = folder / "coffee.backup"
        self.restore_from_lists = RestoreFromLists(
            self.world.database, till.shops, self.world.rules, self.world.clock, lambda s: self._wait(s)
        )

    def _wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    def takes_money(self, capture: str) -> None:
        """The merchant holds money until the drink is poured (`on_dispense`), or takes it at once (`immediate`)."""
        now_so = update(Credential).values(capture=capture, version=Credential.version + 1)
        self.world.database.transact(lambda tx: tx.session.execute(now_so) and None)
        self.world.clock.advance(2)

    def stop_workers(self) -> None:
        self.world.database.transact(_nobody_is_there)

    def back_up(self) -> Manifest:
        return programs.back_up(self.till.cloud, self.file)

    def restore(self, *, replaces: bool = True) -> Manifest:
        """All programs are stopped for it."""
        self.stop_workers()
        self.let_go()
        return programs.restore(self.till.cloud, self.file, replaces=replaces)

    def let_go(self) -> None:
        """Nobody has the database open."""
        database = self.world.database
        database.engine.dispose()
        if database._group is not None:
            database._group.engine.dispose()

    def come_to_rest(self, rounds: int = 6) -> None:
        """Read every list, ask about every payment, look at every deadline, until nothing is left to be done."""
        for _ in range(rounds):
            while self.restore_from_lists.step(self.world.now) <= self.world.now:
                pass
            self.till.work()
            Deadlines(self.world.database, self.world.rules).step(self.world.now)
            self.till.work()

    def says(self, order_id: str, result: Result, code: str = "", device: str = DEVICE, revision: int = 1) -> None:
        """The agent answers from its journal."""
        said = Outcome(
            message_id=f"again-{order_id}", command_id=derived_command_id(order_id, 1), order_id=order_id,
            result=result, code=code, revision=revision, at=self.world.now, evidence=Evidence(),
        )  # fmt: skip
        self.world.database.transact(making.record_outcome, device, said, self.world.rules, self.world.now)

    def lacking(self) -> list[str]:
        with self.world.database.read() as session:
            return restores.what_is_lacking(session)


def _nobody_is_there(tx: Transaction) -> None:
    tx.session.execute(delete(WorkerLife))
