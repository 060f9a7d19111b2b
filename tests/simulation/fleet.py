"""The fleet every world has: two merchants with a shop and a machine each. What a world varies is set anew."""

import sqlite3

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.fleet.vault import Vault
from simulator.yookassa import Shop

PRICE = 17900
A_PART = 5000
"""Kopecks a person gives back who does not give back all."""
SCENARIO = "Yookassa"
SHOPS = {"north": Shop(id="100500", secret="secret_north"), "south": Shop(id="200600", secret="secret_south")}
OTHER_SHOPS = {"north": Shop(id="100501", secret="secret_north_2"), "south": Shop(id="200601", secret="secret_south_2")}
"""Where a merchant's account may be moved to, and back."""
MERCHANT_OF = {"m-001": "north", "m-002": "south"}


def furnish(database: Database, vault: Vault) -> None:
    """Into an empty database."""

    def fleet(tx: Transaction) -> None:
        for merchant, shop in SHOPS.items():
            tx.session.add(Merchant(id=merchant, name=merchant))
            tx.session.flush()
            locked = vault.lock(shop.secret)
            tx.session.add(Credential(merchant_id=merchant, scenario=SCENARIO, account_id=shop.id, secret=locked))
        for device, merchant in MERCHANT_OF.items():
            tx.session.add(Device(device_uuid=device, merchant_id=merchant, payment_scenario=SCENARIO))
            tx.session.flush()
            tx.session.add(DeviceLive(device_uuid=device))
            tx.session.add(Drink(device_uuid=device, drink_no="americano", name="Американо", price_medium=PRICE))

    database.transact(fleet)


def accounts_of(merchant: str) -> tuple[str, str]:
    """The shops a merchant's payments may be opened at."""
    return SHOPS[merchant].id, OTHER_SHOPS[merchant].id


def account_file(merchant: str, account_id: str, secret: str, **settings: str) -> str:
    """What the operator applies for a merchant to use this account, with these settings."""
    head = f'[[merchant]]\nid = "{merchant}"\nname = "{merchant}"\n[merchant.payment.{SCENARIO}]\n'
    account = {"account_id": account_id, "secret_key": secret, **settings}
    return head + "".join(f'{name} = "{value}"\n' for name, value in account.items())


def arrange(path: str, capture: str, status_check: str) -> None:
    """As this world's merchants have set it."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE credentials SET capture = ?, status_check = ?", (capture, status_check))
    connection.close()
