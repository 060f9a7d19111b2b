"""The shops the simulated provider serves: each with its secret, and what it has switched on."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from simulator.yookassa.instruments import METHODS

YOO_RECEIPT = "yoo_receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """`fiscalization`: the shop sends receipts through the provider, so every payment must carry one.

    `fiscal_provider` prints them: YooKassa itself, or a partner's online register.
    """

    id: str
    secret: str
    gateway_id: str = "100700"
    name: str = "Тестовый магазин"
    methods: tuple[str, ...] = ("bank_card", "yoo_money", "sbp")
    fiscalization: bool = False
    fiscal_provider: str = YOO_RECEIPT

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown:
            raise ValueError(f"unknown payment methods: {', '.join(unknown)}")

    @property
    def register(self) -> str:
        """The register that prints this shop's receipts; "" for none."""
        return self.fiscal_provider if self.fiscalization else ""


def parse_shop(text: str) -> Shop:
    """A shop from `id:secret`; ValueError when either half is missing."""
    shop_id, colon, secret = text.partition(":")
    if not (shop_id and colon and secret):
        raise ValueError(f"a shop is written id:secret, not {shop_id!r} alone")
    return Shop(id=shop_id, secret=secret)


DEFAULT_SHOP = parse_shop("100500:test_secret")


class ShopTable:
    """The shops given at start; never grows, but a key may be made anew."""

    def __init__(self, shops: Iterable[Shop]) -> None:
        self._shops = {shop.id: shop for shop in shops}
        if not self._shops:
            raise ValueError("the simulator needs at least one shop")

    def __getitem__(self, shop_id: str) -> Shop:
        return self._shops[shop_id]

    def __contains__(self, shop_id: object) -> bool:
        return shop_id in self._shops

    def authenticate(self, shop_id: str, secret: str) -> Shop | None:
        shop = self._shops.get(shop_id)
        if shop is None or not hmac.compare_digest(shop.secret.encode(), secret.encode()):
            return None
        return shop

    def reissue(self, shop_id: str, secret: str) -> None:
        """Another key, as in the provider's cabinet: the old one ends at once."""
        self._shops[shop_id] = replace(self._shops[shop_id], secret=secret)
