"""A till whose merchant sends fiscal receipts: the shop at the simulated YooKassa insists on one with each payment."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.orders.receipts import Receipt
from cloud.orders.tasks import Task
from cloud.payments.receipts.registration import Registration
from protocol.reasons import Result, Spout
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa.state import Status
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import ACCOUNT, DEVICE, SHOP_SECRET, World

SCENARIO = "YookassaReceipt"
BUYER = "buyer@example.com"
CONTACT = "ops@example.org"
MOST_LOOKS = 400
TERMS: dict[str, Any] = {"vat_code": 1, "tax_system_code": 2, "internet": False}


class FiscalTill:
    """A till, the loop that follows receipts, and what both ends know of them."""

    def __init__(self, till: Till) -> None:
        self.till, self.world = till, till.world
        self.world.database.transact(_set_up)
        self.registration = Registration(
            self.world.database, till.shops, ThreadPool("receipts", 0), lambda: 0.0, self.world.clock
        )

    def set_terms(self, drink: dict[str, Any] | None = None, **merchant: Any) -> None:
        """What receipts say from now on, the merchant's and the latte's."""

        def change(tx: Transaction) -> None:
            credential = tx.session.get_one(Credential, ("north", SCENARIO))
            credential.receipt = TERMS | merchant
            credential.version += 1
            tx.session.get_one(Drink, (DEVICE, "latte")).receipt = drink

        self.world.database.transact(change)

    def take_at_once(self) -> None:
        """The merchant takes money at once instead of holding it."""

        def change(tx: Transaction) -> None:
            credential = tx.session.get_one(Credential, ("north", SCENARIO))
            credential.capture, credential.version = "immediate", credential.version + 1

        self.world.database.transact(change)

    def press(self, order_id: str, email: str | None = BUYER) -> TestResponse:
        asked = {"order_id": order_id} | ({} if email is None else {"email": email})
        return self.till.press(order_id, json=asked)

    def decline(self, order_id: str) -> None:
        """The buyer's card is refused, and we have heard of it."""
        self.till.shop.sim("POST", f"/decline/{self.till.provider_id(order_id)}", {})
        self.till.look_at(order_id)

    def paid(self, email: str | None = BUYER) -> str:
        """An order whose money has come and been seen; its command is on its way."""
        order_id = self.world.scan()
        answer = self.press(order_id, email)
        assert answer.status_code == 200, answer.text
        self.till.buyer_pays(order_id)
        self.till.look_at(order_id)
        self.world.publish(order_id)
        return order_id

    def poured(self, email: str | None = BUYER) -> str:
        """A coffee in the cup and its money taken."""
        order_id = self.paid(email)
        self.world.report(order_id, Result.DONE, out=Spout.FULL)
        self.till.work()
        return order_id

    def not_poured(self) -> str:
        """The machine has refused, and the money is on its way back."""
        order_id = self.paid()
        self.refuse(order_id)
        return order_id

    def refuse(self, order_id: str) -> None:
        self.world.report(order_id, Result.REJECTED, "no_water", Spout.NONE)
        self.till.work()

    def follow(self, seconds: float = 0.0) -> None:
        """Time passes, and every receipt that is due on the way is looked at, in a few hundred looks at most."""
        end = self.world.now.timestamp() + seconds
        while True:
            wake = self.registration.step(self.world.now).timestamp()
            wait = max(wake - self.world.now.timestamp(), seconds / MOST_LOOKS)
            if self.world.now.timestamp() + wait > end:
                break
            self.world.clock.advance(wait)
        self.world.clock.advance(end - self.world.now.timestamp())

    def registering(self, outcome: Status) -> None:
        """How the tax authority answers from now on."""
        self.till.shop.sim("PUT", "/behaviour", {"receipt_outcome": outcome})

    def receipts(self, order_id: str) -> list[Receipt]:
        with self.world.database.read() as session:
            return list(session.scalars(select(Receipt).where(Receipt.order_id == order_id).order_by(Receipt.id)))

    def states(self, order_id: str) -> list[str]:
        return [receipt.state for receipt in self.receipts(order_id)]

    def sent(self, order_id: str, task: Task = Task.CREATE) -> list[dict[str, Any]]:
        """The bodies of the order's calls of this kind, as they are stored."""
        return [json.loads(row.call_body or b"{}") for row in self.world.rows(order_id, task)]

    def keeps(self, address: str) -> bool:
        """Whether the address stands anywhere in the database."""
        with self.world.database.read() as session:
            for table in Receipt.metadata.sorted_tables:
                if table.name == "merchants":
                    continue
                if any(address in str(value) for row in session.execute(select(table)) for value in row):
                    return True
        return False


@contextmanager
def a_fiscal_till(world: World) -> Iterator[FiscalTill]:
    """One shop that sends receipts, stopped at the end."""
    with a_till(world, shops=[SimulatedShop(id=ACCOUNT, secret=SHOP_SECRET, fiscalization=True)]) as till:
        yield FiscalTill(till)


def _set_up(tx: Transaction) -> None:
    tx.session.get_one(Merchant, "north").contact_email = CONTACT
    plain = tx.session.get_one(Credential, ("north", "Yookassa"))
    tx.session.add(
        Credential(
            merchant_id="north", scenario=SCENARIO, account_id=plain.account_id, secret=plain.secret, receipt=TERMS
        )
    )
    tx.session.flush()
    tx.session.get_one(Device, DEVICE).payment_scenario = SCENARIO
