"""What the tests of reconciliation share: a till's reconciler, and people in the provider's cabinet."""

from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import delete, select, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Merchant
from cloud.orders.models import Payment
from cloud.payments.provider_clients import FRESH, ProviderClients
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.ledger_view import ShopKey
from cloud.payments.reconcile.models import FoundDifference
from cloud.payments.reconcile.nightly import Nightly
from cloud.payments.reconcile.reconciler import Reconciler, Report
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.tills import Till
from tests.cloud.worlds import ACCOUNT, SHOP_SECRET, World


class AnyTill(Protocol):
    """A till at whatever provider."""

    world: World
    shops: ProviderClients

    def work(self, seconds: float = 0.0) -> None: ...


SHOP = ShopKey("north", "Yookassa", ACCOUNT)
MACHINES = ShopKey("north", "", "")


def a_reconciler(till: AnyTill) -> Reconciler:
    """Waiting is the clock moving on."""
    world = till.world
    return Reconciler(world.database, till.shops, world.clock, lambda s: _wait(till, s))


def a_nightly(till: AnyTill) -> Nightly:
    return Nightly(till.world.database, a_reconciler(till))


def nights(nightly: Nightly, till: AnyTill) -> None:
    """Step until there is nothing due."""
    for _ in range(500):
        if nightly.step(till.world.now) > till.world.now:
            return
    raise AssertionError("it does not come to rest")


def for_hours(nightly: Nightly, till: AnyTill, hours: int) -> None:
    """The worker goes on: its nights, and its other loops."""
    for _ in range(hours):
        till.work(3600)
        nights(nightly, till)


def _wait(till: AnyTill, seconds: float) -> None:
    till.world.clock.advance(seconds)


def today(till: Till) -> Day:
    return Day.of(till.world.now)


def share_the_shop(till: Till, merchant_id: str = "alpha", scenario: str = "Yookassa") -> ShopKey:
    """Another merchant at the same shop, with the same key, that is read first."""
    world = till.world

    def add(tx: Transaction) -> None:
        if tx.session.get(Merchant, merchant_id) is None:
            tx.session.add(Merchant(id=merchant_id, name=merchant_id))
            tx.session.flush()
        secret = world.vault.lock(SHOP_SECRET)
        tx.session.add(Credential(merchant_id=merchant_id, scenario=scenario, account_id=ACCOUNT, secret=secret))

    world.database.transact(add)
    return ShopKey(merchant_id, scenario, ACCOUNT)


def reconciled(till: Till, day: Day | None = None, key: ShopKey = SHOP) -> Report:
    return a_reconciler(till).reconcile(key, day or today(till))


def kinds(report: Report) -> dict[str, str]:
    """How each kind of finding stands."""
    return {found.kind: found.state for found in report.findings}


def unanswered_and_paid(till: Till) -> tuple[str, dict[str, Any]]:
    """An order whose opening was never answered, and its payment, paid at the provider."""
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    [there] = till.payments_there()
    till.yookassa.pay(there["id"])
    return order_id, there


def sold(till: Till, method: str = "bank_card") -> str:
    """A drink poured and paid for; the order's id."""
    order_id = till.paid(method=method)
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    assert till.world.status(order_id) == "successful"
    assert till.booked(order_id)["captured"] > 0
    return order_id


def refund_in_cabinet(till: Till, order_id: str, value: str | None = None) -> None:
    answer = till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id), "amount": value})
    assert answer.status_code == 200, answer.text


def change_payment(till: Till, order_id: str, **values: Any) -> None:
    """Our books are made to differ, as a bug or a restored backup would."""

    def work(tx: Transaction) -> None:
        tx.session.execute(update(Payment).where(Payment.order_id == order_id).values(**values))

    till.world.database.transact(work)


def forget_credential(till: Till) -> None:
    till.world.database.transact(lambda tx: tx.session.execute(delete(Credential)))
    till.world.clock.advance(FRESH.total_seconds())


def all_findings(till: AnyTill) -> list[FoundDifference]:
    with till.world.database.read() as session:
        return list(session.scalars(select(FoundDifference).order_by(FoundDifference.id)))


def at(hour: int, minute: int = 0, day: int = 2) -> datetime:
    """A moment of the worlds' March by Moscow's clock."""
    return Day.of(datetime.fromisoformat(f"2026-03-{day:02d}T12:00+03:00")).start + timedelta(
        hours=hour, minutes=minute
    )
