"""The fleet file of the contract, and small variations of it."""

ENVIRON = {"NORTH_YOOKASSA_KEY": "live_northern-secret"}

MERCHANT = """\
[[merchant]]
id = "north"                       # our key
name = "ООО Север"
contact_email = "ops@example.org"
valid_until = 2030-12-31

[merchant.payment.Yookassa]        # scenario
account_id = "100500"
secret_key = "env:NORTH_YOOKASSA_KEY"
capture = "on_dispense"            # or "immediate"
status_check = "polling"           # polling, webhook, none
"""

DEVICE = """
[[device]]
device_uuid = "m-001"
merchant = "north"
location = "Невский 1, 2 этаж"
payment_scenario = "Yookassa"
control = "agent"
status = "active"
logo_url = "https://example.org/logo.svg"
client_info_make_failed = "Звоните <a href=\\"tel:+78120000000\\">+7 812 000-00-00</a>"
"""

AMERICANO = """
[[device.drink]]
drink_no = "americano"
name = "Американо"
prices = { small = 14900, medium = 17900, large = 19900 }
"""

LATTE = """
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = { medium = 21900 }
"""

FLEET = MERCHANT + DEVICE + AMERICANO + LATTE


def with_line(text: str, old: str, new: str) -> str:
    """The text with one line (or piece) replaced; the piece must be there."""
    assert old in text, old
    return text.replace(old, new, 1)


def line_of(text: str, piece: str) -> int:
    """On which line a piece stands."""
    return text[: text.index(piece)].count("\n") + 1
