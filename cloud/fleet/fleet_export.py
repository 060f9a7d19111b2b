"""Writes merchants, machines and menus as `fleet.toml`: applied again, it changes nothing. Secrets are never in it."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.fleet import custom_account
from cloud.fleet import file_fields as fields
from cloud.fleet.models import Credential, Device, Drink, Merchant

_HEAD = "# The fleet as it is in the database. Secrets are not in it: each names the variable that must hold it.\n"


def export(session: Session, merchant_ids: Collection[str]) -> str:
    """These merchants, with all they have."""
    parts = [_HEAD]
    query = select(Merchant).where(Merchant.id.in_(merchant_ids)).order_by(Merchant.id)
    for merchant in session.scalars(query):
        parts.append("\n".join(_merchant(session, merchant)))
    return "\n".join(parts)


def _merchant(session: Session, merchant: Merchant) -> Iterator[str]:
    yield "[[merchant]]"
    yield from _table(merchant, fields.MERCHANT)
    for account in session.scalars(select(Credential).where(Credential.merchant_id == merchant.id)):
        yield f"\n[merchant.payment.{account.scenario}]"
        is_custom = account.scenario == custom_account.CUSTOM
        yield from _table(account, fields.ACCOUNT | (custom_account.FIELDS if is_custom else {}))
        yield f'secret_key = "env:{_key_name(account)}"'
        if account.receipt is not None:
            yield f"receipt = {_value(account.receipt)}"
    query = select(Device).where(Device.merchant_id == merchant.id).order_by(Device.device_uuid)
    for device in session.scalars(query).all():
        yield "\n[[device]]"
        yield from _table(device, fields.DEVICE)
        yield from _menu(session, device)
    yield ""


def _key_name(account: Credential) -> str:
    """For the environment, whatever a merchant's id is made of."""
    return re.sub(r"[^A-Z0-9]", "_", f"SECRET_{account.scenario}_{account.merchant_id}".upper())


def _menu(session: Session, device: Device) -> Iterator[str]:
    query = select(Drink).where(Drink.device_uuid == device.device_uuid).order_by(Drink.position, Drink.drink_no)
    for drink in session.scalars(query):
        yield "\n[[device.drink]]"
        yield from _table(drink, fields.DRINK)
        prices = {size: getattr(drink, f"price_{size}") for size in fields.SIZES}
        yield f"prices = {_value({size: price for size, price in prices.items() if price is not None})}"
        if drink.receipt is not None:
            yield f"receipt = {_value(drink.receipt)}"


def _table(row: Any, known: Collection[str]) -> Iterator[str]:
    for name in known:
        value = getattr(row, "merchant_id" if name == "merchant" else name)
        if value is None or (value == "" and name == "unobserved"):
            continue
        yield f"{name} = {_value(value)}"


def table_of(values: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table."""
    return (f"{name} = {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's escapes are JSON's
    return str(value)
