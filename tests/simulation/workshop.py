"""What many worlds of one process share: folder, empty database, empty journal, compiled statements. Tells worlds."""

from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.machine.profile import load
from tests.simulation import fleet
from tests.simulation.agent_process import make_journal
from tests.simulation.cloud_process import world_rules, world_vault
from tests.simulation.disk import Engines, a_folder, make_template
from tests.simulation.mixes import Mix, mix_of
from tests.simulation.shells import replaced
from tests.simulation.told import Told
from tests.simulation.world import World


class Workshop:
    """`with Workshop() as workshop: workshop.tell(7)`. Between worlds all code is the real one again."""

    def __init__(self, folder: Path | None = None) -> None:
        """In this folder, or in one of its own."""
        self._own = a_folder() if folder is None else None
        self.folder = folder or Path(self._own.name if self._own is not None else "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.vault = world_vault()
        self.rules = world_rules()
        self.engines = Engines()
        self.profile = load("companion-v1")
        self.template = make_template(self.folder / "template.db", lambda database: fleet.furnish(database, self.vault))
        self.journal = make_journal(self.folder / "journal")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            self._own.cleanup()

    def tell(self, seed: int, only: Container[str] | None = None, mix: Mix | None = None) -> Told:
        """Live through one world. `only`: exactly these faults happen."""
        with replaced(self.engines.create):
            return World(self, seed, mix or mix_of(seed), only).live()
