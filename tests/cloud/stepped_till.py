"""What tills of every provider have in common: loops that work when they are told to, and what they left."""

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from cloud.orders.tasks import Task
from cloud.payments.call_worker import CallWorker
from cloud.payments.models import StoredNotification
from cloud.payments.status_poller import StatusPoller
from tests.cloud.worlds import World


class SteppedTill:
    """The cloud over one provider, on the world's clock."""

    world: World
    app: Flask
    call_worker: CallWorker
    poller: StatusPoller

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def work(self, seconds: float = 0.0) -> None:
        """Time passes; whatever is due is done until nothing is."""
        now, quiet = self.world.clock.advance(seconds), 0
        for _ in range(50):
            wakes = [self.call_worker.step(now), self.poller.step(now)]
            quiet = quiet + 1 if min(wakes) > now else 0
            if quiet == 2:  # each has seen what the other did
                return
        raise AssertionError("the loops do not come to rest")

    def notifications(self) -> list[StoredNotification]:
        """The notifications stored."""
        with self.world.database.read() as session:
            return list(session.scalars(select(StoredNotification).order_by(StoredNotification.id)))

    def verdicts(self, order_id: str, *tasks: Task) -> list[str]:
        return [row.verdict for row in self.world.rows(order_id, *tasks)]
