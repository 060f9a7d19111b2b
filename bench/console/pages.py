"""Every page of the console that a person can open, and the searches people make; each for one of many things."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.console.filling import MERCHANTS, number_of
from cloud.access.acts import Act, Role, grants
from cloud.console.sections import SECTIONS
from cloud.console.shell.cookies import PATH
from cloud.console.shell.paging import Key

_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
_NO_PAGES = frozenset({Act.EXPORT, Act.IMPORT_FLEET})
"""Files: nobody looks at a page meanwhile."""


@dataclass(frozen=True)
class Fleet:
    """How much there is to be asked for."""

    orders: int
    machines: int


@dataclass(frozen=True)
class Page:
    """One page: its name, who may open it, and an address of it for a merchant."""

    name: str
    act: Act
    address: Callable[[Fleet, int, random.Random], str]

    def is_for(self, role: Role | None) -> bool:
        """None is the platform's admin."""
        if role is None or self.act is Act.OWN_ACCOUNT:
            return True
        return self.act in grants(role, of_machines=role is Role.TECHNICIAN)


def _order(fleet: Fleet, shop: int, chosen: random.Random) -> int:
    """A paid order of this shop."""
    while True:
        i = chosen.randrange(fleet.orders)
        if i % 100 < 95 and i * 7919 % fleet.machines % MERCHANTS == shop:
            return i


def _device(fleet: Fleet, shop: int, chosen: random.Random) -> str:
    return f"m-{chosen.randrange(fleet.machines // MERCHANTS) * MERCHANTS + shop}"


_THINGS: Mapping[str, Callable[[Fleet, int, random.Random], str]] = {
    "order_id": lambda *where: number_of(_order(*where)),
    "device_uuid": _device,
    "drink_id": lambda *where: f"{_device(*where)}/drink-{where[2].randrange(12)}",
    "merchant_id": lambda _fleet, shop, _chosen: f"shop-{shop}",
    "incident_id": lambda _fleet, shop, chosen: f"shop-{shop}-{chosen.randrange(41)}",
    "channel_id": lambda _fleet, shop, _chosen: f"channel-{shop}",
    "member_id": lambda _fleet, shop, _chosen: str(shop + 1),
    "scenario": lambda *_: "Yookassa",
    "field": lambda *_: "client_info",
}


def _of_route(path: str) -> Callable[[Fleet, int, random.Random], str]:
    return lambda *where: PATH + _ARGUMENT.sub(lambda found: _THINGS[found[1]](*where), path)


def _search(text: Callable[[Fleet, int, random.Random], str]) -> Callable[[Fleet, int, random.Random], str]:
    return lambda *where: f"{PATH}/orders?{text(*where)}"


_SEARCHES: Mapping[str, Callable[[Fleet, int, random.Random], str]] = {
    "not poured": lambda *_: "show=failed",
    "under way": lambda *_: "show=now",
    "waits for a person": lambda *_: "show=waits",
    "given back": lambda *_: "show=given",
    "of a machine": lambda *where: f"machine={_device(*where)}",
    "amount and time": lambda *where: f"q=179+{where[2].randrange(8, 23):02}:{where[2].randrange(60):02}",
    "amount of a day": lambda *_: "q=149+yesterday",
    "an amount nobody paid": lambda *_: "q=333",
    "last characters": lambda *where: f"q=…{number_of(where[0].orders - 1 - _order(*where) % 1000)[-9:]}",
    "number": lambda *where: f"q={number_of(_order(*where))}",
    "payment": lambda *where: f"q=2c{_order(*where)}-000f",
    "a later page": lambda *where: f"after={_key(where[2])}",
}


def _key(chosen: random.Random) -> str:
    return str(Key(datetime.now(UTC) - timedelta(days=chosen.random() * 30), "x"))


def every_page() -> list[Page]:
    """By section, then the searches."""
    found = [
        Page(f"{section.name}: {route.name}", route.act, _of_route(route.path))
        for section in SECTIONS for route in section.routes
        if route.method == "GET" and route.act not in _NO_PAGES and _is_fillable(route.path)
    ]  # fmt: skip
    return found + [Page(f"orders, {name}", Act.SEE_ORDERS, _search(text)) for name, text in _SEARCHES.items()]


def _is_fillable(path: str) -> bool:
    return all(name in _THINGS for name in _ARGUMENT.findall(path))
