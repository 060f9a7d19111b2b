"""Two merchants at one simulated YooKassa that writes down whose key each call came with; web and worker for real."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.background.loops import utc_now
from cloud.database.database import Database
from cloud.fleet.apply import apply
from cloud.fleet.vault import Vault
from cloud.processes.app import create_app
from cloud.processes.worker import Worker
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from simulator.broker.server import Broker
from simulator.yookassa import Shop, YooKassaSimulator
from tests.cloud.courier.rig import Machine
from tests.cloud.tills import opened
from tests.cloud.worlds import SECRET_KEY, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECRETS = {"100500": "live_key-of-the-north", "200600": "live_key-of-the-south"}
SHOP_OF = {"m-north": "100500", "m-south": "200600"}

FLEET = """
[[merchant]]
id = "{name}"
name = "{name}"
[merchant.payment.Yookassa]
account_id = "{shop}"
secret_key = "env:{variable}"
capture = "{capture}"

[[device]]
device_uuid = "m-{name}"
merchant = "{name}"
payment_scenario = "Yookassa"
status = "test"
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = 17900 }}
"""
BOTH = FLEET.format(name="north", shop="100500", variable="NORTH", capture="on_dispense") + FLEET.format(
    name="south", shop="200600", variable="SOUTH", capture="immediate"
)


@dataclass(frozen=True)
class Call:
    """One call as it came in."""

    method: str
    path: str
    account_id: str
    secret: str
    body: dict[str, Any]
    status: int


class WrittenDown:
    """A WSGI application that keeps what it was asked, and by whom."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._lock = threading.Lock()
        self.calls: list[Call] = []

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        body = environ["wsgi.input"].getvalue()
        statuses: list[int] = []

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(int(status[:3]))
            return start(status, headers, *rest)

        answer = self._application(environ, started)
        if environ["PATH_INFO"].startswith("/v3/"):
            given = base64.b64decode(environ["HTTP_AUTHORIZATION"].removeprefix("Basic ")).decode()
            account_id, _, secret = given.partition(":")
            told = json.loads(body) if body else {}
            call = Call(environ["REQUEST_METHOD"], environ["PATH_INFO"], account_id, secret, told, statuses[0])
            with self._lock:
                self.calls.append(call)
        return answer


class LiveWorld(World):
    """A world in real time."""

    @property
    def now(self) -> datetime:
        return utc_now()


class Market:
    """Everything of one test; orders are bought through the web, the rest happens in the worker's threads."""

    def __init__(self, cloud: Cloud, yookassa: YooKassaSimulator, written: WrittenDown) -> None:
        self.cloud, self.yookassa, self.written = cloud, yookassa, written
        self.world = LiveWorld(cloud.database, rules=cloud.rules)
        self.app = create_app(cloud)

    def apply(self, fleet: str, **secrets: str) -> None:
        apply(self.cloud.database, Vault(SECRET_KEY), fleet, secrets)

    def order(self, order_id: str, device: str) -> str:
        """Scanned, and the payment page opened."""
        client = self.app.test_client()
        scan = {"deviceUuid": device, "drinkNo": "latte", "size": "1", "uuid": order_id}
        assert client.get("/v1/pay", query_string=scan).status_code == 302
        answer = opened(lambda: client.post("/v1/initiate-payment", json={"order_id": order_id}))
        assert answer.status_code == 200, answer.text
        return order_id

    def pay(self, order_id: str) -> None:
        self.yookassa.pay(self.world.payment(order_id).provider_payment_id or "", method="bank_card")

    def wait_for_status(self, order_id: str, status: str) -> None:
        wait_until(lambda: self.world.status(order_id) == status, 60, what=f"{order_id} to be {status}")

    def wait_for_payment(self, order_id: str, *states: str) -> None:
        wait_until(lambda: self.world.payment(order_id).state in states, 60, what=f"{order_id}'s payment {states}")

    def change_secret(self, account_id: str, secret: str) -> None:
        """The merchant makes a new key in the provider's cabinet; the old one is dead."""
        self.yookassa.provider._shops._shops[account_id] = Shop(id=account_id, secret=secret)

    def everywhere(self, work: Any, order_ids: list[str]) -> None:
        """The same for many orders at once."""
        with ThreadPoolExecutor(12) as pool:
            for done in [pool.submit(work, order_id) for order_id in order_ids]:
                done.result(90)


@contextmanager
def a_market(tmp_path: Path) -> Iterator[Market]:
    """A worker, a broker and a provider, all running; stopped at the end."""
    shops = [Shop(id=account_id, secret=secret) for account_id, secret in SECRETS.items()]
    with Broker() as broker, YooKassaSimulator(shops=shops) as yookassa:
        written = yookassa._server.application = WrittenDown(yookassa.wsgi)
        settings = Settings(
            SECRET_KEY, database_url=f"sqlite:///{tmp_path}/cloud.db", mqtt_url=broker.url, yookassa_url=yookassa.url,
            yookassa_rate=1000, payment_poll_fast_s=0.1, payment_poll_slow_s=0.1, uncertain_grace_s=0.1,
        )  # fmt: skip
        database = Database(settings.database_url)
        World(database).found()
        database.close()
        cloud = build(settings)
        worker = Worker(cloud)
        machines = [Machine(broker.port, device).listen() for device in SHOP_OF]  # they take commands, and say nothing
        worker.start()
        try:
            yield Market(cloud, yookassa, written)
        finally:
            worker.stop()
            for machine in machines:
                machine.client.disconnect()
            cloud.close()
