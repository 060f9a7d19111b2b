"""A merchant's keys at a provider, write-only: taken by the same rules as from the file, never shown again.

What was replaced is kept locked for a while (`replaced_credentials.py`), so that it can be put back unseen.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from cloud.access.journal import CHANGED
from cloud.console.shell.request_context import Done
from cloud.database.transaction import Transaction
from cloud.fleet import accounts, custom_account, replaced_credentials
from cloud.fleet.apply import Report, apply_in
from cloud.fleet.editing import Overtaken
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_export import table_of
from cloud.fleet.fleet_file import FleetFileError, read_fleet
from cloud.fleet.models import Credential, Merchant
from cloud.fleet.receipt_terms import VAT_CODES, WITH_RECEIPT
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.orders.at_risk import unsettled

FIELDS = ("account_id", "capture", "status_check")
ADDRESSES = ("page_url", "status_url", "action_url")
_IN_JOURNAL = (*FIELDS, "version")


class NotKept(Exception):
    """The earlier keys are not kept any more."""


def save(
    tx: Transaction, vault: Vault, merchant_id: str, scenario: str, typed: Mapping[str, str], now: datetime,
    seen: Mapping[str, Any] | None = None,
) -> Done[Report]:  # fmt: skip
    """Take them. `seen`: what the person looked at. Raises `FleetFileError` with every problem, and `Overtaken`."""
    secret = typed.get("secret_key", "").strip()
    if secret.startswith(("env:", "file:")):
        raise FleetFileError("The form", ["the secret itself is wanted here, not where this host keeps it"])
    known = _held(tx, merchant_id, scenario)
    before = entry_of(known)
    if seen is not None and seen.get("version") != before.get("version"):
        raise Overtaken
    if not secret and known is not None:
        secret = _opened(vault, known.secret)
    values = _values(scenario, typed, known)
    if scenario in WITH_RECEIPT:
        values["receipt"] = _receipt(typed, known)
    report = _apply(tx, vault, known, merchant_id, scenario, values | {"secret_key": secret}, now)
    after = entry_of(_held(tx, merchant_id, scenario))
    if typed.get("secret_key"):
        after["secret_key"] = CHANGED
    return Done(report, before, after)


def addresses_of(scenario: str) -> tuple[str, ...]:
    """The addresses that an account of this scenario has."""
    return ADDRESSES if scenario == custom_account.CUSTOM else ()


def entry_of(credential: Credential | None) -> dict[str, Any]:
    """What the journal keeps of it; `{}` when there is none."""
    if credential is None:
        return {}
    return {name: getattr(credential, name) for name in _IN_JOURNAL} | _with_rate(credential.receipt)


def present(tx: Transaction, merchant_id: str, scenario: str) -> dict[str, Any]:
    """The same of the account as it is now, which is held."""
    return entry_of(_held(tx, merchant_id, scenario))


def put_back(
    tx: Transaction, vault: Vault, merchant_id: str, scenario: str, version: int | None, now: datetime
) -> None:
    """The account as it was at that version; None when there was none.

    Raises `NotKept`, `accounts.InUse`, and `FleetFileError` where it could not be taken today.
    """
    known = _held(tx, merchant_id, scenario)
    if version is None:
        if known is not None:
            accounts.remove(tx.session, known)
            replaced_credentials.forget(tx, merchant_id, scenario)
        return
    kept = replaced_credentials.find(tx.session, merchant_id, scenario, version, now)
    if kept is None:
        raise NotKept
    names = FIELDS + addresses_of(scenario)
    values = {name: getattr(kept, name) for name in names if getattr(kept, name)}
    values |= {"secret_key": _opened(vault, kept.secret)} | ({"receipt": kept.receipt} if kept.receipt else {})
    _apply(tx, vault, known, merchant_id, scenario, values, now)


def _held(tx: Transaction, merchant_id: str, scenario: str) -> Credential | None:
    return tx.session.get(Credential, (merchant_id, scenario), with_for_update=True, populate_existing=True)


def _values(scenario: str, typed: Mapping[str, str], known: Credential | None) -> dict[str, Any]:
    """What the account will be: an address that the form does not have stays; one that was emptied goes."""
    names = addresses_of(scenario)
    wanted = {**{name: getattr(known, name) for name in names if known is not None}, **typed}
    return {name: wanted[name].strip() for name in FIELDS + names if wanted.get(name, "").strip()}


def _receipt(typed: Mapping[str, str], known: Credential | None) -> dict[str, Any]:
    """What its receipts say: of that, the form has the tax rate. The first account must name one."""
    stored = dict(known.receipt) if known is not None and known.receipt else {}
    rate = typed.get("vat_code", "").strip()
    if not rate and stored:
        return stored
    if rate not in {str(code) for code in VAT_CODES}:
        raise FleetFileError("The form", ["vat_code is missing: nobody may guess it"])
    return stored | {"vat_code": int(rate)}


def _with_rate(receipt: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (receipt or {}).items() if name == "vat_code"}


def _apply(
    tx: Transaction, vault: Vault, known: Credential | None, merchant_id: str, scenario: str,
    values: Mapping[str, Any], now: datetime,
) -> Report:  # fmt: skip
    replaced = None if known is None else replaced_credentials.copy_of(known, now)
    before = _addresses(known)
    file = read_fleet(_text(tx.session, merchant_id, scenario, values), {})
    report = apply_in(tx, vault, file, unsettled, ByHand.KEEP_CONSOLE, now)
    tx.session.flush()
    if known is not None and replaced is not None and known.version != replaced.version:
        tx.session.merge(replaced)
    if scenario == custom_account.CUSTOM:
        _judge_addresses(tx.session, before, _addresses(_held(tx, merchant_id, scenario)), now)
    return report


def _addresses(account: Credential | None) -> dict[str, str]:
    return {} if account is None else {name: getattr(account, name) for name in ("account_id", *ADDRESSES)}


def _judge_addresses(session: Session, before: Mapping[str, str], after: Mapping[str, str], now: datetime) -> None:
    """What is chosen here may not lead into our own network; what the operator's file chose and stays as it was may."""
    if after == before:
        return
    inside = [name for name in ADDRESSES if after[name] not in {"", before.get(name)}
              and custom_account.leads_inside(after[name])]  # fmt: skip
    if inside:
        words = "must begin with https:// and be a public address"
        raise FleetFileError("The form", [f"{name} {words}" for name in inside])
    custom_account.choose_by_hand(session, after["account_id"], "console", now)


def _opened(vault: Vault, secret: str) -> str:
    try:
        return vault.open(secret)
    except SecretUnreadable:
        raise FleetFileError("The form", ["the stored secret cannot be read any more: type it again"]) from None


def _text(session: Session, merchant_id: str, scenario: str, values: Mapping[str, Any]) -> str:
    merchant = {"id": merchant_id, "name": session.get_one(Merchant, merchant_id).name}
    return "\n".join(["[[merchant]]", *table_of(merchant), f"[merchant.payment.{scenario}]", *table_of(values)])
