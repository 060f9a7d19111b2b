"""The demo's fleet file, written from the machine's own menu, so that the QR's drinks are those on sale."""

import json

from protocol.reasons import Size
from simulator.machine.menu import Menu

DEVICE = "m-001"
MERCHANT = "north"
SHOP = "100500"
KEY_VARIABLE = "DEMO_YOOKASSA_KEY"

_HEAD = f"""\
[[merchant]]
id = "{MERCHANT}"
name = "ООО Север"
contact_email = "ops@example.org"
valid_until = 2030-12-31

[merchant.payment.Yookassa]
account_id = "{SHOP}"
secret_key = "env:{KEY_VARIABLE}"
capture = "{{capture}}"
status_check = "polling"

[[device]]
device_uuid = "{DEVICE}"
merchant = "{MERCHANT}"
location = "Невский 1, 2 этаж"
payment_scenario = "Yookassa"
control = "agent"
status = "active"
client_info = "Кофе из автомата на втором этаже"
client_info_successful = "Осторожно, <b>горячо</b>. Хорошего дня!"
client_info_make_failed = "Звоните <a href=\\"tel:+78120000000\\">+7 812 000-00-00</a>, мы на связи круглосуточно"
"""


def fleet_toml(menu: Menu, capture: str = "on_dispense") -> str:
    """What `coffee-cloud apply` reads."""
    drinks = []
    for drink in menu.values():
        prices = ", ".join(f"{size.name.lower()} = {drink.price(size)}" for size in Size)
        drinks.append(
            f"[[device.drink]]\ndrink_no = {json.dumps(drink.drink_no)}\n"
            f"name = {json.dumps(drink.name, ensure_ascii=False)}\nprices = {{ {prices} }}\n"
        )
    return "\n".join([_HEAD.format(capture=capture), *drinks])
