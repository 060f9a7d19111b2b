"""The shop, the order and the short-lived clients that the client tests speak of."""

from collections.abc import Callable

from cloud.payments.provider import NewPayment, Shop
from cloud.payments.yookassa.client import YooKassaClient

SECRET = "test_Zm9vYmFyLXNlY3JldA"
SHOP = Shop("100500", SECRET)
ID = "31374cc8-000f-5000-8000-1a2b3c4d5e6f"
COFFEE = NewPayment("ord-1", "m-001", "pay-1", 15000, "Капучино 200 мл", "https://pay.example.com/r/1")

Connect = Callable[..., YooKassaClient]
