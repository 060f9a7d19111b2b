"""What `[merchant.payment.Custom]` must say beyond any account: the addresses of the merchant's own side, and which
of them go together (docs/custom-payments.md). Its table is taken whole: an address not written is not offered.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from cloud.fleet import hand_edits
from cloud.fleet.file_fields import Check, Field, Wrong, matching, web_address
from cloud.fleet.hand_edits import HandEdit
from cloud.fleet.models import Credential, FormerCredential
from cloud.http.addresses import is_public, normal_url

CUSTOM = "Custom"
"""The scenario, and the provider's name among stored notifications."""
_KIND, _ADDRESSES = "account", "addresses"
"""What of an account is marked as edited by hand."""
MIN_SECRET = 32
"""Characters: the key signs both ways, and nothing else proves the sender."""


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


def leads_inside(url: str) -> bool:
    """Whether the address itself says that it is not in the public net; of a name only connecting can tell."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return not is_public(str(ip_address(host)))
    except ValueError:
        return parts.scheme != "https" or host == "localhost"


def choose_by_hand(session: Session, account_id: str, by: str, now: datetime) -> None:
    """Its addresses were chosen in the console: we connect to them in the public net only."""
    hand_edits.mark(session, _KIND, account_id, [_ADDRESSES], by, now)


def is_by_hand(session: Session, account_id: str) -> bool:
    """Tell whether its addresses were chosen in the console, and not by the person who runs this cloud."""
    return session.get(HandEdit, (_KIND, account_id, _ADDRESSES)) is not None


def choose_by_file(session: Session, merchant_id: str, account_id: str) -> None:
    """Note that its addresses were chosen by the person who runs this cloud: they may lead anywhere."""
    if is_by_hand(session, account_id):
        hand_edits.forget(session, _KIND, account_id, _ADDRESSES)
        session.get_one(Credential, (merchant_id, CUSTOM)).version += 1  # running workers connect anew


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
