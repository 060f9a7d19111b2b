"""What `[merchant.payment.Custom]` must say beyond any account: the addresses of the merchant's own side, and which
of them go together (docs/custom-payments.md). Its table is taken whole: an address not written is not offered.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from cloud.fleet.file_fields import Check, Field, Wrong, matching, web_address
from cloud.fleet.models import Credential, FormerCredential
from cloud.http.addresses import normal_url

CUSTOM = "Custom"
MIN_SECRET = 32
"""Characters: the key signs both ways, and nothing else proves who speaks."""


def _address(with_query: bool) -> Check:
    def check(value: Any) -> str:
        url = web_address(value)
        try:
            url = normal_url(url) if url else ""
        except ValueError:
            raise Wrong("must be a web address, without a user or a password") from None
        parts = urlsplit(url)
        if url and parts.scheme == "http" and not _is_here(parts.hostname or ""):
            raise Wrong("must begin with https:// (http:// only to this machine itself)")
        if parts.fragment or not url.isascii():
            raise Wrong("must be ASCII but for its host, without a #")
        if parts.query and not with_query:
            raise Wrong("must have no ? part")
        if "signature" in parse_qs(parts.query, keep_blank_values=True):
            raise Wrong("must have no parameter `signature`")
        return url

    return check


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


FIELDS = {
    "account_id": Field(matching(r"[0-9A-Za-z_.-]{1,64}", "1 to 64 Latin letters, digits, - _ or ."), required=True),
    "page_url": Field(_address(with_query=True), required=True),
    "status_url": Field(_address(with_query=False)),
    "action_url": Field(_address(with_query=False)),
}


def complete(values: dict[str, Any]) -> None:
    """Say what is not written."""
    for name in ("status_url", "action_url"):
        values.setdefault(name, "")


def mistakes(table: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that do not go together, each with what is wrong. What is written wrongly counts as written."""
    if values.get("page_url") == "":
        yield "page_url", "must not be empty"
    if len(values.get("secret_key", "x" * MIN_SECRET)) < MIN_SECRET:
        yield "secret_key", f"must be {MIN_SECRET} characters or more: it signs both ways"
    if table.get("action_url") and not table.get("status_url"):
        yield "action_url", "needs a status_url beside it: what an order was done to must be asked about"
    if not table.get("action_url") and values.get("capture", "on_dispense") != "immediate":
        yield "capture", 'must be "immediate" where there is no action_url: nothing held could be taken or let go'


def owners(session: Session, accounts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Account ids that another merchant has already, and which; `accounts` are merchants by account id."""
    stored = union(
        *(
            select(kind.account_id, kind.merchant_id).where(kind.scenario == CUSTOM, kind.account_id.in_(accounts))
            for kind in (Credential, FormerCredential)
        )
    )
    yield from ((row.account_id, row.merchant_id) for row in session.execute(stored)
                if row.merchant_id != accounts[row.account_id])  # fmt: skip
