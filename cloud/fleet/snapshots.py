"""What a merchant's things are, whole, as JSON can hold it: taken before and after a change, compared, written back.

A thing that is not there is `{}`. Keys at providers are not in it, nor what machines and clocks say.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet import hand_edits
from cloud.fleet.hand_edits import drink_id
from cloud.fleet.models import Closable, Credential, Device, DeviceLive, Drink, Merchant

Values = dict[str, Any]
Snapshot = dict[str, Values]
"""By kind and name: `device m-001`, `drink m-001/latte`."""
_HELD = {"key_share": True}
_KINDS: Mapping[str, type[Base]] = {"merchant": Merchant, "device": Device, "drink": Drink}
_NOT_EDITED = {
    "merchant": {"id"},
    "device": {"device_uuid", "merchant_id", *Closable.__annotations__},
    "drink": {"device_uuid", "drink_no"},
}
_NAMES = {
    kind: [column.key for column in inspect(model).columns if column.key not in _NOT_EDITED[kind]]
    for kind, model in _KINDS.items()
}
_MOMENTS = frozenset({"closed_since", "opened_at"})
_NOT_IN_FILE = frozenset({"position", *Closable.__annotations__})


class InUse(Exception):
    """A machine that has worked already is not taken away, nor sold with keys that are gone; the text names which."""


class NotOurs(Exception):
    """A machine belongs to another merchant; the text names it."""


class NoMachine(Exception):
    """A drink's machine is not there; the text names it."""


def take(session: Session, merchant_id: str, *, lock: bool = False) -> Snapshot:
    """All of a merchant; `lock` holds the rows until the transaction's end."""
    return {name: _values(row) for name, row in _rows(session, merchant_id, lock=lock).items()}


def of_drink(session: Session, name: str) -> Values:
    """One drink, held; `name` as `hand_edits.drink_id` makes it."""
    device_uuid, _, drink_no = name.partition("/")
    row = session.get(Drink, (device_uuid, drink_no), with_for_update=_HELD, populate_existing=True)
    return {} if row is None else _values(row)


def plain(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    return value.isoformat() if isinstance(value, date) else value


def difference(before: Snapshot, after: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Only things and fields that differ; of what came or went everything."""
    was: Snapshot = {}
    became: Snapshot = {}
    for name in sorted({**before, **after}):
        old, new = before.get(name, {}), after.get(name, {})
        if old and new:
            changed = [field for field in old if old[field] != new[field]]
            old, new = {field: old[field] for field in changed}, {field: new[field] for field in changed}
        if old != new:
            was[name], became[name] = old, new
    return was, became


def same_fields(present: Snapshot, wanted: Snapshot) -> Snapshot:
    """Return as much of the present as `wanted` speaks of; a thing that `wanted` has as absent comes whole."""
    return {
        name: {field: value for field, value in present.get(name, {}).items() if not values or field in values}
        for name, values in wanted.items()
    }


def write(tx: Transaction, merchant_id: str, wanted: Snapshot, by: str, now: datetime) -> None:
    """Make these things what `wanted` says, as an edit by hand. Raises `InUse`, `NotOurs` and `NoMachine`."""
    present = _rows(tx.session, merchant_id, lock=True)
    _check_machines(tx.session, wanted, present)
    gone = [name for name, values in wanted.items() if not values and name in present]
    for name in sorted(gone, reverse=True):  # drinks before the machines they are of
        _remove(tx.session, name, present[name])
        _mark(tx.session, name, [hand_edits.EXISTS], by, now)
    for name, values in sorted(wanted.items()):
        if not values:
            continue
        _check_account(tx.session, merchant_id, values)
        known = present.get(name)
        if known is None:
            known = _made(name, merchant_id)
        _set(known, values)
        _add(tx.session, known)
        _mark(tx.session, name, values if name in present else [hand_edits.EXISTS], by, now)
    tx.session.flush()


def _rows(session: Session, merchant_id: str, *, lock: bool) -> dict[str, Any]:
    of_merchant = select(Device.device_uuid).where(Device.merchant_id == merchant_id)
    queries = (
        ("merchant", select(Merchant).where(Merchant.id == merchant_id)),
        ("device", select(Device).where(Device.merchant_id == merchant_id).order_by(Device.device_uuid)),
        ("drink", select(Drink).where(Drink.device_uuid.in_(of_merchant)).order_by(Drink.device_uuid, Drink.drink_no)),
    )
    found: dict[str, Any] = {}
    for kind, query in queries:
        asked = query.with_for_update(key_share=True).execution_options(populate_existing=True) if lock else query
        found |= {f"{kind} {_name(row)}": row for row in session.scalars(asked)}
    return found


def _name(row: Any) -> str:
    if isinstance(row, Drink):
        return drink_id(row.device_uuid, row.drink_no)
    return str(row.device_uuid if isinstance(row, Device) else row.id)


def _values(row: Any) -> Values:
    kind = next(kind for kind, model in _KINDS.items() if isinstance(row, model))
    return {name: plain(getattr(row, name)) for name in _NAMES[kind]}


def _check_account(session: Session, merchant_id: str, values: Values) -> None:
    scenario = values.get("payment_scenario")
    if scenario is not None and session.get(Credential, (merchant_id, scenario)) is None:
        raise InUse(f"{merchant_id}/{scenario}")


def _check_machines(session: Session, wanted: Snapshot, present: Mapping[str, Any]) -> None:
    """What is written is of the merchant's machines, whose rows are held, or of machines made with it."""
    machines = {name: _machine_of(name) for name in wanted if not name.startswith("merchant ")}
    unknown = {device_uuid for device_uuid in machines.values() if f"device {device_uuid}" not in present}
    owned = session.scalar(select(func.min(Device.device_uuid)).where(Device.device_uuid.in_(unknown)))
    if owned is not None:
        raise NotOurs(owned)
    for name, device_uuid in machines.items():
        if device_uuid in unknown and wanted[name] and not wanted.get(f"device {device_uuid}"):
            raise NoMachine(device_uuid)


def _machine_of(name: str) -> str:
    return name.partition(" ")[2].partition("/")[0]


def _made(name: str, merchant_id: str) -> Any:
    kind, _, object_id = name.partition(" ")
    if kind == "device":
        return Device(device_uuid=object_id, merchant_id=merchant_id)
    device_uuid, _, drink_no = object_id.partition("/")
    return Drink(device_uuid=device_uuid, drink_no=drink_no)


def _add(session: Session, row: Any) -> None:
    """Machines before what is of them."""
    if row in session:
        return
    session.add(row)
    session.flush()
    if isinstance(row, Device):
        session.add(DeviceLive(device_uuid=row.device_uuid))


def _set(row: Any, values: Values) -> None:
    for name, value in values.items():
        if name in _MOMENTS and value is not None:
            value = datetime.fromisoformat(value)
        elif name == "valid_until" and value is not None:
            value = date.fromisoformat(value)
        setattr(row, name, value)


def _remove(session: Session, name: str, row: Any) -> None:
    if isinstance(row, Device):
        live = session.get(DeviceLive, row.device_uuid)
        if live is not None and live.seen_at is not None:
            raise InUse(row.device_uuid)
        if live is not None:
            session.delete(live)
            session.flush()
    session.delete(row)
    try:
        session.flush()
    except IntegrityError:  # orders, an enrolment, days of sales: all of them refer to the machine
        raise InUse(name.partition(" ")[2]) from None


def _mark(session: Session, name: str, fields: Iterable[str], by: str, now: datetime) -> None:
    kind, _, object_id = name.partition(" ")
    told = [field for field in fields if field not in _NOT_IN_FILE]
    if kind != "device" or told != [hand_edits.EXISTS]:
        hand_edits.mark(session, kind, object_id, told, by, now)
