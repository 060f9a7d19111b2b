"""The QR on the machine's screen: a payment page's address with the machine's checksum (docs/machine-protocol.md 1.4).

The checksum is unkeyed: it shows a mis-scan, it proves nothing about who made the link. With a key of the cloud's
the link is signed as well.
"""

import hmac
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5, sha256
from random import Random
from urllib.parse import urlencode

import segno

from protocol.reasons import Size
from simulator.machine.menu import Drink

_RANDOM_LETTERS = 6
_ORDER_TAIL = "-9ace-cndn"
SIGNED_FOR_S = 900
"""How long a signed code is good: what an order lives."""


@dataclass(frozen=True, slots=True)
class PayLink:
    """One order the screen offers."""

    url: str
    order_uuid: str

    def svg(self) -> str:
        """The code as inline SVG; its colours are the page's affair."""
        code = segno.make(self.url, error="l", micro=False)
        return str(code.svg_inline(border=2, omitsize=True, svgclass="qr", lineclass="qr-dots"))


def checksum(drink_no: str, random: str, ts: str, size: str, order_uuid: str) -> str:
    """`salt`, as the one public sample has it."""
    text = drink_no + random + ts + size + order_uuid
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def signature(key: bytes, device_uuid: str, drink_no: str, size: str, order_uuid: str, exp: str) -> str:
    """`sig`, as the cloud asks for it."""
    text = f"coffee-qr-1\n{device_uuid}\n{drink_no}\n{size}\n{order_uuid}\n{exp}"
    return hmac.new(key, text.encode(), sha256).hexdigest()


def pay_link(
    cloud_url: str, device_uuid: str, drink: Drink, size: Size, now: Callable[[], datetime], random: Random,
    key: bytes | None = None,
) -> PayLink:  # fmt: skip
    """A new order's link, signed when there is a `key`. `now` gives the machine's own time, with a zone."""
    moment = now()
    ts = str(int(moment.timestamp()))
    letters = "".join(random.choices(string.ascii_lowercase, k=_RANDOM_LETTERS))
    milliseconds = moment.microsecond // 1000
    order_uuid = f"{moment:%Y%m%d%H%M%S}{milliseconds:03d}{random.getrandbits(20):05x}{_ORDER_TAIL}"
    query = {
        "deviceUuid": device_uuid,
        "drinkNo": drink.drink_no,
        "size": str(int(size)),
        "random": letters,
        "ts": ts,
        "salt": checksum(drink.drink_no, letters, ts, str(int(size)), order_uuid),
        "drinkName": drink.name,
        "uuid": order_uuid,
    }
    if key is not None:
        query["exp"] = str(int(moment.timestamp()) + SIGNED_FOR_S)
        query["sig"] = signature(key, device_uuid, drink.drink_no, query["size"], order_uuid, query["exp"])
    return PayLink(f"{cloud_url.rstrip('/')}/v1/pay?{urlencode(query)}", order_uuid)
