"""The real cloud over one provider's rig: checkout, webhook, call worker and status poller on one clock."""

from dataclasses import replace

from sqlalchemy import update
from werkzeug.test import TestResponse

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.http.addresses import parse_senders
from cloud.payments.call_worker import CallWorker
from cloud.payments.provider import CaptureMode, NewPayment
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.status_poller import StatusPoller
from cloud.processes.app import create_app
from cloud.settings import YOOKASSA_SENDERS, Settings
from cloud.wiring import Cloud
from protocol.reasons import Result
from tests.cloud.payments.contract.rig import Money, ProviderRig
from tests.cloud.stepped_till import SteppedTill
from tests.cloud.worlds import PRICE, SECRET_KEY, World

PUBLIC_URL = "https://coffee.example.org"


class ContractTill(SteppedTill):
    """An order is pressed, paid, poured and settled as in the field; the loops work when they are told to."""

    def __init__(self, world: World, rig: ProviderRig) -> None:
        self.world, self.rig = world, rig
        world.database.transact(self._sells_by, "on_dispense")
        self.shops = ProviderClients(world.database, world.vault, rig.cloud_connect, lambda: world.now)
        settings = Settings(
            SECRET_KEY, public_url=PUBLIC_URL, yookassa_webhook_networks=parse_senders(YOOKASSA_SENDERS)
        )
        self.app = create_app(Cloud(settings, world.database, world.rules, self.shops, "till", world.clock))
        self.call_worker = CallWorker(
            world.database, self.shops, world.rules, PUBLIC_URL, "till", ThreadPool("till", 0), lambda: 0.0, world.clock
        )
        self.poller = StatusPoller(
            world.database, self.shops, world.rules, ThreadPool("recheck", 0), lambda: 0.0, world.clock
        )  # fmt: skip

    def _sells_by(self, tx: Transaction, capture: str) -> None:
        credential = self.rig.credential(self.rig.shop)
        credential.secret = self.world.vault.lock(self.rig.shop.secret_key)
        credential.capture = capture
        credential.version = 1 + (capture == "immediate")
        tx.session.merge(credential)
        tx.session.execute(update(Device).values(payment_scenario=self.rig.scenario))

    def one_stage(self) -> None:
        """From now on money is taken at once."""
        self.world.database.transact(self._sells_by, "immediate")

    def press(self, order_id: str) -> TestResponse:
        return self.client().post("/v1/initiate-payment", json={"order_id": order_id})

    def open(self) -> str:
        """An order whose payment page is open."""
        order_id = self.world.scan()
        answer = self.press(order_id)
        assert answer.status_code == 200, answer.text
        return order_id

    def paid(self) -> str:
        """An order whose money has come and was told of."""
        order_id = self.open()
        self.rig.buyer_pays(self.provider_payment_id(order_id))
        self.tell(order_id)
        self.work()
        return order_id

    def poured(self, result: Result = Result.DONE, code: str = "") -> str:
        """A paid order whose machine has answered."""
        order_id = self.paid()
        self.world.publish(order_id)
        self.world.report(order_id, result, code)
        self.work()
        return order_id

    def provider_payment_id(self, order_id: str) -> str:
        found = self.world.payment(order_id).provider_payment_id
        assert found is not None
        return found

    def tell(self, order_id: str) -> TestResponse:
        """The provider sends its news."""
        return self.post(self.rig.notification(self.provider_payment_id(order_id)))

    def post(self, body: bytes, forged: bool = False) -> TestResponse:
        answer = self.rig.post_notification(self.client(), body, forged)
        if not forged:
            assert answer.status_code == 200, answer.text
            assert self.rig.notification_accepted in {"", answer.text}
        return answer

    def money(self, order_id: str) -> Money:
        return self.rig.money(self.provider_payment_id(order_id))

    def stranger(self) -> str:
        """A payment at our shop which no order of ours asked for."""
        shop = replace(self.rig.shop, capture=CaptureMode.IMMEDIATE)
        payment = NewPayment("nobody", "m-001", "nobodys-payment", PRICE, "Чужое", f"{PUBLIC_URL}/x")
        self.rig.booked(payment)
        client = self.rig.connect(shop)
        outcome = client.send(client.prepare_create(payment, "nobody-1"))
        return str(outcome.value.provider_payment_id)  # type: ignore[union-attr]  # else the test fails here

    def close(self) -> None:
        self.shops.close()
