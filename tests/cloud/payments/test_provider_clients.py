"""Each merchant's own client, and nobody else's; a change is noticed without a restart."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloud.console.settings import credentials
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Merchant
from cloud.fleet.vault import Vault
from cloud.orders.models import Payment
from cloud.payments.custom.ledger_view import Addresses, addresses_of
from cloud.payments.provider import CaptureMode, Shop
from cloud.payments.provider_clients import FRESH, NoCredential, ProviderClients
from tests.cloud.worlds import ACCOUNT, SHOP_SECRET, START, World


class Made:
    """A client that only knows whose it is."""

    def __init__(self, shop: Shop, scenario: str) -> None:
        self.shop, self.scenario, self.closed = shop, scenario, False
        self.addresses: Addresses | None = None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def shops(sqlite_world: World) -> ProviderClients:
    return ProviderClients(sqlite_world.database, sqlite_world.vault, Made, lambda: sqlite_world.now)  # type: ignore[arg-type]  # as far as it is used


def add_south(world: World) -> None:
    def add(tx: Transaction) -> None:
        tx.session.add(Merchant(id="south", name="South"))
        tx.session.flush()
        secret = world.vault.lock("south_secret")
        tx.session.add(
            Credential(
                merchant_id="south", scenario="Yookassa", account_id="100501", secret=secret, capture="immediate"
            )
        )

    world.database.transact(add)


def change(world: World, **values: Any) -> None:
    def work(tx: Transaction) -> None:
        credential = tx.session.get_one(Credential, ("north", "Yookassa"))
        for name, value in values.items():
            setattr(credential, name, value)
        credential.version += 1

    world.database.transact(work)


def payment_at(account_id: str) -> Payment:
    return Payment(
        id="p", order_id="o", merchant_id="north", scenario="Yookassa", account_id=account_id, capture="on_dispense",
        status_check="polling", amount=1, state="pending", started_at=START,
    )  # fmt: skip


def test_each_merchant_has_a_client_of_its_own(sqlite_world: World, shops: ProviderClients) -> None:
    add_south(sqlite_world)
    _, north = shops.of("north", "Yookassa")
    credential, south = shops.of("south", "Yookassa")
    assert (north.shop.account_id, north.shop.secret_key, north.shop.capture) == (
        ACCOUNT, SHOP_SECRET, CaptureMode.ON_DISPENSE,
    )  # fmt: skip
    assert (south.shop.account_id, south.shop.secret_key, south.shop.capture) == (
        "100501", "south_secret", CaptureMode.IMMEDIATE,
    )  # fmt: skip
    assert credential.capture == "immediate"
    assert shops.of("north", "Yookassa")[1] is north, "made once"


def test_a_changed_credential_makes_a_new_client(sqlite_world: World, shops: ProviderClients) -> None:
    _, before = shops.of("north", "Yookassa")
    change(sqlite_world, secret=sqlite_world.vault.lock("rotated"))
    sqlite_world.wait(FRESH.total_seconds())
    _, after = shops.of("north", "Yookassa")
    assert after is not before
    assert after.shop.secret_key == "rotated"


def test_an_account_taken_away_and_entered_again_is_used_as_it_was_entered_last(sqlite_world: World) -> None:
    world = sqlite_world

    def connect(shop: Shop, scenario: str) -> Made:
        made = Made(shop, scenario)
        made.addresses = addresses_of(world.database, shop.account_id)
        return made

    def enter(secret: str, page_url: str) -> None:
        typed = {"account_id": "north-coffee", "capture": "immediate", "page_url": page_url, "secret_key": secret}
        world.database.transact(credentials.save, world.vault, "north", "Custom", typed, world.now)

    def in_use() -> list[tuple[str, str]]:
        found: list[Any] = [clients.of("north", "Custom")[1], clients.of_account("north-coffee", "Custom")]
        return [(client.shop.secret_key, client.addresses.page_url) for client in found]

    clients = ProviderClients(world.database, world.vault, connect, lambda: world.now)  # type: ignore[arg-type]  # as far as it is used
    wrong, right = "mistyped_" * 4, "as_it_was_agreed_" * 4
    enter(wrong, "https://wrong.example.org/pay")
    assert in_use() == [(wrong, "https://wrong.example.org/pay")] * 2
    world.database.transact(credentials.put_back, world.vault, "north", "Custom", None, world.now)
    enter(right, "https://right.example.org/pay")
    world.wait(FRESH.total_seconds())
    assert in_use() == [(right, "https://right.example.org/pay")] * 2


@pytest.mark.parametrize(("merchant", "scenario"), [("nobody", "Yookassa"), ("north", "TBank")])
def test_no_account_is_said_plainly(shops: ProviderClients, merchant: str, scenario: str) -> None:
    with pytest.raises(NoCredential, match=f"merchant {merchant} has no account for {scenario}"):
        shops.of(merchant, scenario)


def test_a_payment_is_never_asked_for_at_another_shop(sqlite_world: World, shops: ProviderClients) -> None:
    assert shops.of_payment(payment_at(ACCOUNT)).shop.account_id == ACCOUNT
    change(sqlite_world, account_id="200600")
    sqlite_world.wait(FRESH.total_seconds())
    with pytest.raises(NoCredential, match="no key of shop 100500 any more, now it is 200600"):
        shops.of_payment(payment_at(ACCOUNT))


def test_a_shop_is_found_by_the_providers_id_of_it(sqlite_world: World, shops: ProviderClients) -> None:
    add_south(sqlite_world)
    found = shops.of_account("100501", "Yookassa")
    assert found is not None
    assert found is shops.of("south", "Yookassa")[1]
    assert shops.of_account("", "Yookassa") is None
    assert shops.of_account("999", "Yookassa") is None
    assert shops.of_account("100501", "TBank") is None, "another provider's id"


def test_a_secret_nobody_can_read_is_no_credential_and_is_not_told(sqlite_world: World, shops: ProviderClients) -> None:
    change(sqlite_world, secret=Vault("another key of thirty-two characters").lock("x"))
    with pytest.raises(NoCredential, match="COFFEE_SECRET_KEY"):
        shops.of("north", "Yookassa")


def test_many_threads_get_the_same_client(shops: ProviderClients) -> None:
    gate = threading.Barrier(8)

    def ask() -> object:
        gate.wait()
        return shops.of("north", "Yookassa")[1]

    with ThreadPoolExecutor(8) as pool:
        clients = {id(future.result(30)) for future in [pool.submit(ask) for _ in range(8)]}
    assert len(clients) == 1


def test_closing_closes_every_client(sqlite_world: World, shops: ProviderClients) -> None:
    add_south(sqlite_world)
    clients: list[Any] = [shops.of(merchant, "Yookassa")[1] for merchant in ("north", "south")]
    shops.close()
    assert [client.closed for client in clients] == [True, True]
