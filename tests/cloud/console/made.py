"""Orders with something to decide about them, and a version of the agent, for tests of the console's pages."""

from cloud.database.transaction import Transaction
from cloud.orders import claims, return_requests
from cloud.orders.claims import ClaimKind
from cloud.orders.return_requests import Asker, Wanted
from cloud.orders.return_rules import Limits, ReturnReason
from cloud.releases.models import Release
from protocol.reasons import Result
from tests.cloud.console.building import Console
from tests.cloud.releases.fleet import a_bundle
from tests.cloud.worlds import ONE_STAGE, World


def poured(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    return order_id


def a_claim(console: Console) -> str:
    """A claim of a poured order, still to be answered."""
    world = console.world
    said = (claims.say, poured(world), ClaimKind.NOT_POURED, "пусто", "ru", world.now)
    return str(world.database.transact(*said).id)


def a_release(console: Console, version: str = "0.2.0") -> str:
    """A version that is kept."""
    now = console.clock.now

    def add(tx: Transaction) -> None:
        kept = Release(
            version=version, size=4, sha256="0" * 64, bundle=a_bundle(version), added_at=now, added_by="cli:anna"
        )
        tx.session.merge(kept)

    console.cloud.database.transact(add)
    return version


def a_request(console: Console) -> str:
    """A return that waits for a second person."""
    world = console.world
    wanted, by = Wanted(ReturnReason.BAD_DRINK, "cold"), Asker("somebody@example.com")
    asked = world.database.transact(return_requests.ask, poured(world), wanted, by, Limits(1, 1), world.now)
    return str(asked.id)
