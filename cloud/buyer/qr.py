"""Reads what a machine's QR says (docs/machine-protocol.md 1.4). Nothing in it is trusted: only ids are taken.

Whether its signature is good is judged with the device's key, in `orders/scanning.py`.
"""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote

from cloud.orders.qr_signature import QrCode
from cloud.orders.scanning import Scan

LONGEST = {"uuid": 255, "deviceUuid": 64, "drinkNo": 128}
"""Characters; what the tables hold."""
LONGEST_IN_ADDRESS = 1900
"""Bytes as `%D0%B6`; 255 Cyrillic letters are 1530. Providers take a return address of up to 2048, ours before it."""
_SALTED = ("drinkNo", "random", "ts", "size", "uuid")


class BadScan(ValueError):
    """Parameters are missing or make no sense."""


def read_scan(said: Mapping[str, str]) -> Scan:
    """The ids of a QR's address. Raises `BadScan`; whatever else the address carries is ignored."""
    size = said.get("size", "")
    if size not in {"0", "1", "2"}:
        raise BadScan("size")
    return Scan(
        order_id=_id(said, "uuid"), device_uuid=_id(said, "deviceUuid"), drink_no=_id(said, "drinkNo"), size=int(size),
        code=QrCode(said.get("exp", ""), said.get("sig", ""), does_checksum_fit(said), _marks(said)),
    )  # fmt: skip


def does_checksum_fit(said: Mapping[str, str]) -> bool | None:
    """Whether `salt` fits, None without one: an unkeyed MD5, good for noticing a cut link and for nothing else."""
    salt = said.get("salt")
    if not salt:
        return None
    fields = "".join(said.get(name, "") for name in _SALTED)
    return hashlib.md5(fields.encode(), usedforsecurity=False).hexdigest() == salt.lower()


def can_be_id(name: str, value: str) -> bool:
    """Whether the tables could hold it, and an address carry it: also the one a provider sends the buyer back to."""
    is_word = 0 < len(value) <= LONGEST[name] and value.isprintable() and value not in {".", ".."}
    return is_word and len(quote(value, safe="")) <= LONGEST_IN_ADDRESS


def _marks(said: Mapping[str, str]) -> str:
    """Empty for a code that has none."""
    marks = [said.get(name, "") for name in ("random", "ts", "salt")]
    return "\n".join(marks) if any(marks) else ""


def _id(said: Mapping[str, str], name: str) -> str:
    value = said.get(name, "")
    if not can_be_id(name, value):
        raise BadScan(name)
    return value
