"""A merchant's keys at a provider, write-only: taken by the same rules as from the file, never shown again."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from cloud.access.journal import CHANGED
from cloud.console.shell.desk import Done
from cloud.database.transaction import Transaction
from cloud.fleet.apply import Report, apply_in
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_export import table_of
from cloud.fleet.fleet_file import FleetFileError, read_fleet
from cloud.fleet.models import Credential, Merchant
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.orders.at_risk import unsettled

FIELDS = ("account_id", "capture", "status_check")
ADDRESSES = ("page_url", "status_url", "action_url")
FIRST_RECEIPT = {"vat_code": 1}


def save(tx: Transaction, vault: Vault, merchant_id: str, scenario: str, typed: Mapping[str, str]) -> Done[Report]:
    """Take them. Raises `FleetFileError` with every problem."""
    secret = typed.get("secret_key", "").strip()
    if secret.startswith(("env:", "file:")):
        raise FleetFileError("The form", ["the secret itself is wanted here, not where this host keeps it"])
    known = tx.session.get(Credential, (merchant_id, scenario))
    before = _told(known)
    if not secret and known is not None:
        secret = _stored(vault, known)
    file = read_fleet(_text(tx.session, merchant_id, scenario, typed, secret, known), {})
    report = apply_in(tx, vault, file, unsettled, ByHand.KEEP_CONSOLE)
    tx.session.flush()
    after = _told(tx.session.get(Credential, (merchant_id, scenario)))
    if typed.get("secret_key"):
        after["secret_key"] = CHANGED
    return Done(report, before, after)


def _stored(vault: Vault, known: Credential) -> str:
    try:
        return vault.open(known.secret)
    except SecretUnreadable:
        raise FleetFileError("The form", ["the stored secret cannot be read any more: type it again"]) from None


def _text(
    session: Session, merchant_id: str, scenario: str, typed: Mapping[str, str], secret: str, known: Credential | None
) -> str:
    names = FIELDS + (ADDRESSES if scenario == "Custom" else ())
    values: dict[str, Any] = {name: typed[name].strip() for name in names if typed.get(name, "").strip()}
    values["secret_key"] = secret
    if scenario == "YookassaReceipt":
        values["receipt"] = known.receipt if known is not None and known.receipt else FIRST_RECEIPT
    merchant = {"id": merchant_id, "name": session.get_one(Merchant, merchant_id).name}
    return "\n".join(
        ["[[merchant]]", *table_of(merchant), f"[merchant.payment.{scenario}]", *table_of(values)]
    )  # fmt: skip


def _told(credential: Credential | None) -> dict[str, Any]:
    return {} if credential is None else {name: getattr(credential, name) for name in FIELDS}
