"""Where `fleet.toml` says another thing than a person has set by hand: named, and refused until somebody chooses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.fleet import hand_edits
from cloud.fleet.fleet_file import DeviceEntry, FleetFile
from cloud.fleet.hand_edits import EXISTS, Edited, drink_id
from cloud.fleet.models import Device, Drink, Merchant


class ByHand(StrEnum):
    """What is to become of what was edited by hand."""

    REFUSE = "refuse"
    """The file is refused while they differ."""
    TAKE_FILE = "take-file"
    KEEP_CONSOLE = "keep-console"


@dataclass(frozen=True)
class _Difference:
    kind: str
    object_id: str
    field: str
    place: tuple[str | int, ...]
    words: str
    keep: Callable[[], None]
    """Make the file say what the console says."""


def settle(session: Session, file: FleetFile, choice: ByHand) -> None:
    """Tell every difference as a problem, or make the choice; what is the same again is no hand's any more."""
    marks = hand_edits.marks(session)
    if not marks:
        return
    differing = {(one.kind, one.object_id, one.field): one for one in _differences(session, file, marks)}
    for one in differing.values():
        if choice is ByHand.REFUSE:
            edited = marks[one.kind, one.object_id, one.field]
            hint = "apply with --take-file or --keep-console"
            words = f"{one.words} (by hand, {edited.by}, {edited.at:%Y-%m-%d %H:%M} UTC): {hint}"
            file.problem(one.place, words)
        elif choice is ByHand.KEEP_CONSOLE:
            one.keep()
        else:
            hand_edits.forget(session, one.kind, one.object_id, one.field)
    for key in _named(file) & (marks.keys() - differing.keys()):
        hand_edits.forget(session, *key)


def _differences(session: Session, file: FleetFile, marks: dict[tuple[str, str, str], Edited]) -> Iterator[_Difference]:
    for index, (merchant_id, values) in enumerate(file.merchants.items()):
        merchant = session.get(Merchant, merchant_id)
        yield from _of_row(merchant, "merchant", merchant_id, values, ("merchant", index), marks)
    for device in file.devices:
        known = session.get(Device, device.device_uuid)
        yield from _of_row(known, "device", device.device_uuid, device.values, device.place, marks)
        if known is not None:
            yield from _of_menu(session, device, marks)


def _of_row(
    row: Any, kind: str, object_id: str, values: dict[str, Any], place: tuple[str | int, ...],
    marks: dict[tuple[str, str, str], Edited],
) -> Iterator[_Difference]:  # fmt: skip
    for name in [name for name in values if (kind, object_id, name) in marks]:
        if row is not None and getattr(row, name) != values[name]:
            words = f"the console has {str(getattr(row, name))[:60]!r}"
            yield _Difference(kind, object_id, name, (*place, name), words, _without(values, name))


def _of_menu(session: Session, device: DeviceEntry, marks: dict[tuple[str, str, str], Edited]) -> Iterator[_Difference]:
    sold = {row.drink_no: row for row in session.scalars(select(Drink).where(Drink.device_uuid == device.device_uuid))}
    for index, drink in enumerate(list(device.drinks)):
        name, place = drink_id(device.device_uuid, drink.drink_no), (*device.place, "drink", index)
        yield from _of_row(sold.get(drink.drink_no), "drink", name, drink.values, place, marks)
        if drink.drink_no not in sold and ("drink", name, EXISTS) in marks:
            gone = _Without(device.drinks, drink)
            yield _Difference("drink", name, EXISTS, place, f"the console has removed {drink.drink_no}", gone)
    listed = {drink.drink_no for drink in device.drinks}
    for drink_no in sold.keys() - listed:
        name = drink_id(device.device_uuid, drink_no)
        if ("drink", name, EXISTS) in marks:
            kept = _Kept(device.kept_drinks, drink_no)
            yield _Difference("drink", name, EXISTS, device.place, f"the console has added drink {drink_no}", kept)


@dataclass(frozen=True)
class _Without:
    """Takes a drink out of the file's menu."""

    drinks: list[Any]
    drink: Any

    def __call__(self) -> None:
        self.drinks.remove(self.drink)


@dataclass(frozen=True)
class _Kept:
    """Leaves a drink in the machine's menu though the file has it not."""

    kept: set[str]
    drink_no: str

    def __call__(self) -> None:
        self.kept.add(self.drink_no)


def _without(values: dict[str, Any], name: str) -> Callable[[], None]:
    return lambda: values.pop(name, None)


def _named(file: FleetFile) -> set[tuple[str, str, str]]:
    """Every field the file says something about."""
    found = {("merchant", name, key) for name, values in file.merchants.items() for key in values}
    for device in file.devices:
        found |= {("device", device.device_uuid, key) for key in device.values}
        for drink in device.drinks:
            name = drink_id(device.device_uuid, drink.drink_no)
            found |= {("drink", name, key) for key in (*drink.values, EXISTS)}
    return found
