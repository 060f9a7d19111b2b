"""The person who decides what nobody else may: an uncertain order of a machine that has had its returns of the day."""

from random import Random
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from cloud.orders import deciding
from cloud.orders.deciding import NotReturnable
from tests.simulation.scheduler import NoAnswer, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOKS_S = (60.0, 400.0)


class Operator:
    """Comes round now and then, and returns the money of every order that waits for a person."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._process = Process("operator")
        self._random = Random(f"{world.seed}/operator")

    def begin(self) -> None:
        self._world.scheduler.spawn(self._process, self._work)

    def _work(self) -> None:
        while True:
            self._world.scheduler.sleep(self._random.uniform(*LOOKS_S))
            rows = self._world.disk.look.execute("SELECT id FROM orders WHERE waits_for_person ORDER BY id")
            for order_id in [row["id"] for row in rows]:
                self._decide(order_id)

    def _decide(self, order_id: str) -> None:
        web = self._world.a_web()
        if web is None:
            return
        self._world.timeline.add("operator", "returns the money", order_id)
        try:
            self._world.scheduler.ask(
                web.process,
                lambda: web.database.write(
                    deciding.give_back, order_id, None, "operator@example.org", "nobody knows", web.clock()
                ),
            )
        except (NoAnswer, NotReturnable, OperationalError) as error:
            self._world.timeline.add("operator", f"is told: {error}", order_id)
