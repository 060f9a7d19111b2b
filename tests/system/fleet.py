"""The fleet file of a test world: one merchant, some machines, every drink of the standard menu."""

import json
from collections.abc import Sequence

from protocol.reasons import Size
from simulator.machine import STANDARD_MENU

SHOP = "100500"
SHOP_KEY = "test_shop_key"
KEY_VARIABLE = "NORTH_YOOKASSA_KEY"


def fleet_toml(devices: Sequence[str], capture: str) -> str:
    """What `coffee-cloud apply` reads."""
    return "\n".join([_merchant(capture), *(_device(name) for name in devices)])


def _merchant(capture: str) -> str:
    return f"""\
[[merchant]]
id = "north"
name = "ООО Север"
contact_email = "ops@example.org"
valid_until = 2099-12-31

[merchant.payment.Yookassa]
account_id = "{SHOP}"
secret_key = "env:{KEY_VARIABLE}"
capture = "{capture}"
status_check = "polling"
"""


def _device(name: str) -> str:
    drinks = [
        f"[[device.drink]]\ndrink_no = {json.dumps(drink.drink_no)}\n"
        f"name = {json.dumps(drink.name, ensure_ascii=False)}\n"
        f"prices = {{ {', '.join(f'{size.name.lower()} = {drink.price(size)}' for size in Size)} }}\n"
        for drink in STANDARD_MENU.values()
    ]
    head = f"""\
[[device]]
device_uuid = "{name}"
merchant = "north"
location = "Невский 1"
payment_scenario = "Yookassa"
control = "agent"
status = "active"
"""
    return "\n".join([head, *drinks])
