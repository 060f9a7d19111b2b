"""Changing the fleet by hand, field by field, by the very rules of `fleet.toml`. What was before comes back as well."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet import file_fields as fields
from cloud.fleet import hand_edits, snapshots
from cloud.fleet.file_fields import Field, Wrong
from cloud.fleet.models import Closable, Credential, Device, Drink, Merchant
from cloud.fleet.receipt_terms import lacks_address

_PRICES = {
    f"price_{size}": Field(lambda value: None if value is None else fields.price(value)) for size in fields.SIZES
}
_NOT_BY_HAND = {"id", "device_uuid", "merchant", "drink_no", "payment_scenario", "control", "price_source"}
"""What an object is; the file alone says it."""


def _editable(table: Mapping[str, Field]) -> dict[str, Field]:
    return {name: rule for name, rule in table.items() if name not in _NOT_BY_HAND}


FIELDS: Mapping[str, Mapping[str, Field]] = {
    "merchant": _editable(fields.MERCHANT),
    "device": _editable(fields.DEVICE),
    "drink": _editable(fields.DRINK) | _PRICES,
}
CONTRACT = "valid_until"
"""Of a merchant, and the platform's: in the console only an admin changes it, by hand, by a file or putting it back."""
Values = dict[str, Any]


class NotTaken(Exception):
    """Some values cannot be taken: what is wrong, by field. The code names what is wrong beside a field's own rule."""

    def __init__(self, problems: Mapping[str, str], code: str = "") -> None:
        super().__init__("; ".join(f"{name} {words}" for name, words in problems.items()))
        self.problems, self.code = problems, code


class NoSuchThing(Exception):
    """The object is not there (any more)."""


class Overtaken(Exception):
    """Somebody has changed one of these fields since the person looked."""


@dataclass(frozen=True)
class Thing:
    """What is edited: kind and id (`hand_edits.drink_id` of a drink)."""

    kind: str
    id: str


@dataclass(frozen=True)
class Changed:
    """The fields that differ, before and after; empty when nothing did."""

    before: Values
    after: Values


def state_of(session: Session, thing: Thing, names: Iterable[str] | None = None) -> Values:
    """The fields a person may set (`names` of them), as JSON can hold them. Raises `NoSuchThing`."""
    row, editable = _row(session, thing), FIELDS[thing.kind]
    return {name: snapshots.plain(getattr(row, name)) for name in (names or editable) if name in editable}


def change(
    tx: Transaction, thing: Thing, wanted: Mapping[str, Any], by: str, now: datetime, seen: Values | None = None
) -> Changed:
    """Set these fields. `seen`: what the person looked at. Raises `NotTaken`, `NoSuchThing` and `Overtaken`."""
    row, good = _row(tx.session, thing, lock=True), checked(thing.kind, wanted)
    if thing.kind == "drink" and all(good.get(name, getattr(row, name)) is None for name in _PRICES):
        raise NotTaken({"price_medium": "a drink is sold in one size at least"}, "no_price")
    changed = {name: value for name, value in good.items() if getattr(row, name) != value}
    if "contact_email" in changed:
        _check_receipts(tx.session, thing.id, changed["contact_email"])
    before = {name: snapshots.plain(getattr(row, name)) for name in changed}
    if seen is not None and any(seen.get(name) != value for name, value in before.items()):
        raise Overtaken
    for name, value in changed.items():
        setattr(row, name, value)
    hand_edits.mark(tx.session, thing.kind, thing.id, changed, by, now)
    return Changed(before, {name: snapshots.plain(value) for name, value in changed.items()})


def _check_receipts(session: Session, merchant_id: str, contact_email: str) -> None:
    stored = session.scalars(select(Credential).where(Credential.merchant_id == merchant_id))
    if any(lacks_address(account.receipt, contact_email) for account in stored if account.receipt):
        raise NotTaken({"contact_email": "receipts without a buyer's address go there"}, "receipt_email")


def checked(kind: str, wanted: Mapping[str, Any]) -> Values:
    """The values to store. Raises `NotTaken` with every problem."""
    good, problems = {}, {}
    for name, value in wanted.items():
        rule = FIELDS[kind].get(name)
        if rule is None:
            problems[name] = "cannot be set by hand"
            continue
        try:
            good[name] = rule.check(_parsed(name, value))
        except Wrong as wrong:
            problems[name] = str(wrong)
    if problems:
        raise NotTaken(problems)
    return good


def add_drink(
    tx: Transaction, device_uuid: str, drink_no: str, wanted: Mapping[str, Any], by: str, now: datetime
) -> tuple[Thing, Values]:
    """A new drink at the end of a machine's menu, and what it is now. Raises `NotTaken`."""
    try:
        fields.DRINK_NO(drink_no)
    except Wrong as wrong:
        raise NotTaken({"drink_no": str(wrong)}) from None
    if tx.session.get(Drink, (device_uuid, drink_no)) is not None:
        raise NotTaken({"drink_no": "is in the menu already"}, "in_menu")
    good = checked("drink", wanted)
    if "name" not in good or not any(good.get(name) for name in _PRICES):
        raise NotTaken({"price_medium": "a drink needs a name and a price"}, "no_price")
    last = tx.session.scalar(select(func.max(Drink.position)).where(Drink.device_uuid == device_uuid))
    tx.session.add(
        Drink(device_uuid=device_uuid, drink_no=drink_no, position=(last if last is not None else -1) + 1, **good)
    )
    tx.session.flush()
    thing = Thing("drink", hand_edits.drink_id(device_uuid, drink_no))
    hand_edits.mark(tx.session, thing.kind, thing.id, [hand_edits.EXISTS], by, now)
    whole = snapshots.of_drink(tx.session, thing.id)
    return thing, {name: value for name, value in whole.items() if name not in Closable.__annotations__}


def remove_drink(tx: Transaction, thing: Thing, by: str, now: datetime) -> Values:
    """It is not sold here any more; what it was, whole. Orders of it keep its name. Raises `NoSuchThing`."""
    row = _row(tx.session, thing, lock=True)
    was = snapshots.of_drink(tx.session, thing.id)
    tx.session.delete(row)
    hand_edits.mark(tx.session, thing.kind, thing.id, [hand_edits.EXISTS], by, now)
    return was


def _row(session: Session, thing: Thing, *, lock: bool = False) -> Merchant | Device | Drink:
    row: Merchant | Device | Drink | None
    if thing.kind == "merchant":
        row = session.get(Merchant, thing.id, with_for_update=lock)
    elif thing.kind == "device":
        row = session.get(Device, thing.id, with_for_update=lock)
    else:
        device_uuid, _, drink_no = thing.id.partition("/")
        row = session.get(Drink, (device_uuid, drink_no), with_for_update=lock)
    if row is None:
        raise NoSuchThing(thing.id)
    return row


def _parsed(name: str, value: Any) -> Any:
    if name == CONTRACT and isinstance(value, str) and value:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise Wrong("must be a date like 2030-12-31") from None
    return "" if value is None and name not in _PRICES else value
