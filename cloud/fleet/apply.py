"""`coffee-cloud apply`: brings the fleet in the database to what `fleet.toml` says; all of the file or nothing.

What the file does not name is left alone: merchants, accounts, devices, and keys not written. Only the menu of a device
that is named is taken as complete: a drink not listed there is no longer sold.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import accounts, custom_account, device_condition, presence_history, silence
from cloud.fleet.accounts import Account
from cloud.fleet.file_and_hand import ByHand, settle
from cloud.fleet.file_fields import SIZES
from cloud.fleet.file_lines import Place
from cloud.fleet.fleet_file import AccountEntry, DeviceEntry, FleetFile, FleetFileError, Table, read_fleet
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.fleet.receipt_email import is_email
from cloud.fleet.receipt_terms import lacks_address
from cloud.fleet.vault import SecretUnreadable, Vault

__all__ = ["Did", "Entry", "FleetFileError", "Report", "apply", "format_report"]

_FILE_KEYS = {"merchant_id": "merchant", "position": "place in the menu"} | {
    f"price_{size}": f"prices.{size}" for size in SIZES
}
_ORDERS = tuple(table(name, column("device_uuid")) for name in ("orders", "archived_orders"))
"""Only looked at for whether there is one, living or at rest: the fleet stands below the orders and imports none."""
UnsettledAt = Callable[[Session, Account], tuple[int, int]]
"""Payments and kopecks at an account whose money has not come to its end: given by a caller that knows payments."""


class Did(StrEnum):
    """What became of one object."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    SAME = "left alone"
    NOT_IN_FILE = "left alone, not in the file"


@dataclass(frozen=True)
class Entry:
    """One object and what became of it; `keys` are those that changed. No value is told but prices: some are secret."""

    did: Did
    name: str
    keys: tuple[str, ...] = ()
    prices: str = ""
    """Of a drink, in roubles: a slip of two digits is seen before a buyer sees it."""


@dataclass(frozen=True)
class Report:
    """What `apply` did, or would do."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    dry_run: bool = False

    def count(self, did: Did) -> int:
        """How many objects it happened to."""
        return sum(entry.did is did for entry in self.entries)


class OnlyLooking(Exception):
    """Undoes a dry run; carries its report out of the transaction."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def apply(
    database: Database, vault: Vault, source: str | Path, environ: Mapping[str, str], dry_run: bool = False,
    unsettled_at: UnsettledAt = lambda _session, _account: (0, 0), by_hand: ByHand = ByHand.REFUSE,
    reserved: Collection[str] = (),
) -> Report:  # fmt: skip
    """Apply a path's file, or a text. Raises `FleetFileError` with every problem, and then nothing is changed.

    Secrets named `env:NAME` are looked up in `environ`. Applying the same again changes nothing.
    What was edited by hand and is different in the file is a problem, unless `by_hand` says which of the two counts.
    `reserved`: the cloud's own names at the broker, which no machine may have.
    """
    file = read_fleet(source, environ, reserved=reserved)

    def work(tx: Transaction) -> Report:
        report = apply_in(tx, vault, file, unsettled_at, by_hand, database.clock(), dry_run=dry_run)
        for account in file.accounts:
            if account.scenario == custom_account.CUSTOM:
                custom_account.choose_by_file(tx.session, account.merchant_id, account.values["account_id"])
        if dry_run:
            raise OnlyLooking(report)
        return report

    try:
        return database.transact(work)
    except OnlyLooking as looked:
        return looked.report


def apply_in(
    tx: Transaction, vault: Vault, file: FleetFile, unsettled_at: UnsettledAt, by_hand: ByHand, now: datetime,
    *, dry_run: bool = False,
) -> Report:  # fmt: skip
    """The same in the caller's transaction. Raises `FleetFileError`, and then that is to be undone."""
    _check_against_the_database(tx.session, file)
    _check_left_accounts(tx.session, vault, file, unsettled_at)
    settle(tx.session, file, by_hand)
    file.refuse_if_wrong()
    applying = _Applying(tx, vault, file, now)
    applying.all()
    return Report(tuple(applying.entries), tuple(file.warnings), dry_run)


def format_report(report: Report) -> str:
    """The report as lines for a person."""
    lines = [f"warning: {warning}" for warning in report.warnings]
    for entry in report.entries:
        keys = f": {', '.join(entry.keys)}" if entry.keys else ""
        prices = f" ({entry.prices} roubles)" if entry.prices and entry.did in {Did.CREATED, Did.CHANGED} else ""
        lines.append(f"{entry.did.value:<10} {entry.name}{keys}{prices}" if entry.did is not Did.NOT_IN_FILE else
                     f"{Did.SAME.value:<10} {entry.name} (not in the file)")  # fmt: skip
    alone = report.count(Did.SAME) + report.count(Did.NOT_IN_FILE)
    counts = [f"{report.count(did)} {did.value}" for did in (Did.CREATED, Did.CHANGED, Did.REMOVED)]
    lines.append(", ".join([*counts, f"{alone} left alone"]) + (" (dry run: nothing was changed)" * report.dry_run))
    return "\n".join(lines)


def _check_against_the_database(session: Session, file: FleetFile) -> None:
    merchants = set(session.scalars(select(Merchant.id))) | file.merchants.keys()
    stored = session.execute(select(Credential.merchant_id, Credential.scenario))
    accounts = {(merchant, scenario) for merchant, scenario in stored} | file.named_accounts
    for device in file.devices:
        merchant, scenario = device.values.get("merchant_id"), device.values.get("payment_scenario")
        if merchant is None:
            continue
        if merchant not in merchants:
            file.problem((*device.place, "merchant"), f'there is no merchant "{merchant}", here or in the database')
        elif scenario is not None and (merchant, scenario) not in accounts:
            words = f'merchant "{merchant}" has no [merchant.payment.{scenario}]'
            file.problem((*device.place, "payment_scenario"), words)
        _check_owner(session, file, device, merchant)
        _warn_of_silence(session, file, device)
    for merchant_id in file.merchants:
        _check_receipts(session, file, merchant_id)
    _check_custom_accounts(session, file)


def _check_receipts(session: Session, file: FleetFile, merchant_id: str) -> None:
    """Whoever must receive a receipt that the buyer gave no address for can receive it."""
    known = session.get(Merchant, merchant_id)
    address = file.merchants[merchant_id].get("contact_email", known.contact_email if known else "")
    if is_email(address):
        return
    lacks = f'no receipt can be sent to contact_email "{address}"' if address else "the merchant has no contact_email"
    for place, receipt in _receipts_of(session, file, merchant_id):
        if lacks_address(receipt, address):
            file.problem(place, f'{lacks}: with email = "optional" receipts without a buyer\'s address go there')
        else:
            file.warn(place, f"{lacks}: a receipt due after the buyer's address is erased cannot be sent")


def _receipts_of(session: Session, file: FleetFile, merchant_id: str) -> Iterator[tuple[Place, Table]]:
    """What the merchant's accounts say of receipts: in the file, or stored where the file changes the address alone."""
    for account in file.accounts:
        if account.merchant_id == merchant_id and account.values.get("receipt") is not None:
            yield (*account.place, "receipt"), account.values["receipt"]
    if "contact_email" in file.merchants[merchant_id]:
        for known in session.scalars(select(Credential).where(Credential.merchant_id == merchant_id)):
            if known.receipt and (merchant_id, known.scenario) not in file.named_accounts:
                yield (*file.merchant_places[merchant_id], "contact_email"), known.receipt


def _check_custom_accounts(session: Session, file: FleetFile) -> None:
    """An account id of the merchant's own page tells whose key a callback is signed with: it names one merchant."""
    mine: dict[str, AccountEntry] = {}
    for account in file.accounts:
        name = account.values.get("account_id", "")
        if account.scenario == custom_account.CUSTOM and mine.setdefault(name, account) is not account:
            file.problem((*account.place, "account_id"), f'"{name}" is that of merchant "{mine[name].merchant_id}"')
    for name, owner in custom_account.owners(session, {name: account.merchant_id for name, account in mine.items()}):
        file.problem((*mine[name].place, "account_id"), f'"{name}" is that of merchant "{owner}"')


def _warn_of_silence(session: Session, file: FleetFile, device: DeviceEntry) -> None:
    """Each time: what it costs is not seen anywhere else until the money is gone."""
    known = session.get(Device, device.device_uuid)
    control = device.values.get("control", known.control if known else "")
    chosen = device.values.get("unobserved", known.unobserved if known else silence.NOT_CHOSEN)
    if silence.never_tells(control, session.get(DeviceLive, device.device_uuid)):
        file.warn((*device.place, "unobserved"), silence.cost(chosen))


def _check_owner(session: Session, file: FleetFile, device: DeviceEntry, merchant: str) -> None:
    known = session.get(Device, device.device_uuid)
    if known is None or known.merchant_id == merchant:
        return
    of_device = (select(orders).where(orders.c.device_uuid == device.device_uuid).limit(1) for orders in _ORDERS)
    if any(session.scalar(one) is not None for one in of_device):
        words = f'"{device.device_uuid}" has orders of merchant "{known.merchant_id}" and cannot change hands'
        file.problem((*device.place, "merchant"), words)


def _check_left_accounts(session: Session, vault: Vault, file: FleetFile, unsettled_at: UnsettledAt) -> None:
    """Money at an account that is left is still asked about, taken and returned there: its key must be readable."""
    unreadable = accounts.unreadable(session, vault)
    for account in file.accounts:
        known = session.get(Credential, (account.merchant_id, account.scenario))
        if known is None or known.account_id == account.values.get("account_id", known.account_id):
            continue
        payments, kopecks = unsettled_at(session, accounts.of(known))
        open_ = f"{payments} payment(s) with {kopecks / 100:.2f} roubles are not settled at shop {known.account_id}"
        if not payments:
            words = f"changed: no payment is open at shop {known.account_id}"
            file.warn((*account.place, "account_id"), words)
            continue
        if accounts.of(known) in unreadable:
            words = f"{open_}, whose stored key cannot be read: list what locked it in COFFEE_OLD_SECRET_KEYS, or "
            file.problem((*account.place, "account_id"), f"{words}apply that shop with its secret once more first")
        else:
            words = f"changed: {open_}; its key stays, and they are followed there to their end"
            file.warn((*account.place, "account_id"), words)


class _Applying:
    """One application of a file that is known to be good, in the caller's transaction."""

    def __init__(self, tx: Transaction, vault: Vault, file: FleetFile, now: datetime) -> None:
        self.entries: list[Entry] = []
        self._tx, self._now = tx, now
        self._session = tx.session
        self._vault = vault
        self._file = file

    def all(self) -> None:
        for merchant_id, values in self._file.merchants.items():
            self._put(Merchant, {"id": merchant_id}, values, f"merchant {merchant_id}")
        for account in self._file.accounts:
            self._account(account)
        for device in self._file.devices:
            self._device(device)
            self._menu(device)
        self._session.flush()
        self._give_every_device_a_live_row()
        self._tell_what_is_not_in_the_file()

    def _account(self, account: AccountEntry) -> None:
        key = {"merchant_id": account.merchant_id, "scenario": account.scenario}
        name = f"payment {account.scenario} of merchant {account.merchant_id}"
        known = self._session.get(Credential, tuple(key.values()))
        if known is None:
            self._put(Credential, key, account.values | {"secret": self._vault.lock(account.secret)}, name)
            return
        if known.account_id != account.values["account_id"]:
            accounts.leave(self._session, known)
            accounts.come_back(self._session, account.merchant_id, account.scenario, account.values["account_id"])
        changed = _change(known, account.values)
        if self._opened(known) != account.secret:
            known.secret = self._vault.lock(account.secret)
            changed.append("secret_key")
        known.version += bool(changed)
        self._tell(Did.CHANGED if changed else Did.SAME, name, changed)

    def _opened(self, credential: Credential) -> str | None:
        try:
            return self._vault.open(credential.secret)
        except SecretUnreadable:  # the file has it again, under the present key
            return None

    def _device(self, device: DeviceEntry) -> None:
        known = self._session.get(Device, device.device_uuid)
        before = known.control if known is not None else None
        self._put(Device, {"device_uuid": device.device_uuid}, device.values, f"device {device.device_uuid}")
        if known is None or known.control == before:
            return
        live = self._session.get(DeviceLive, device.device_uuid, with_for_update=True)
        if live is not None:
            device_condition.forget(live)
            presence_history.note(self._tx, [live], self._now)

    def _menu(self, device: DeviceEntry) -> None:
        for position, drink in enumerate(device.drinks):
            key = {"device_uuid": device.device_uuid, "drink_no": drink.drink_no}
            name = f"drink {drink.drink_no} of device {device.device_uuid}"
            self._put(Drink, key, drink.values | {"position": position}, name, _roubles(drink.values))
        listed = {drink.drink_no for drink in device.drinks}
        for known in self._session.scalars(select(Drink).where(Drink.device_uuid == device.device_uuid)).all():
            if known.drink_no not in listed | device.kept_drinks:
                self._session.delete(known)
                self._tell(Did.REMOVED, f"drink {known.drink_no} of device {device.device_uuid}")

    def _put(self, model: type[Base], key: dict[str, str], values: dict[str, Any], name: str, prices: str = "") -> None:
        known = self._session.get(model, tuple(key.values()))
        if known is None:
            self._session.add(model(**key, **values))
            self._session.flush()  # what comes next refers to it
            self._tell(Did.CREATED, name, prices=prices)
            return
        changed = _change(known, values)
        self._tell(Did.CHANGED if changed else Did.SAME, name, changed, prices)

    def _give_every_device_a_live_row(self) -> None:
        without = select(Device.device_uuid).where(Device.device_uuid.not_in(select(DeviceLive.device_uuid)))
        self._session.add_all([DeviceLive(device_uuid=name) for name in self._session.scalars(without)])

    def _tell_what_is_not_in_the_file(self) -> None:
        session, file = self._session, self._file
        devices = {device.device_uuid for device in file.devices}
        names = [f"merchant {name}" for name in session.scalars(select(Merchant.id)) if name not in file.merchants]
        names += [
            f"payment {credential.scenario} of merchant {credential.merchant_id}"
            for credential in session.scalars(select(Credential))
            if (credential.merchant_id, credential.scenario) not in file.named_accounts
        ]
        names += [f"device {name}" for name in session.scalars(select(Device.device_uuid)) if name not in devices]
        for name in sorted(names):
            self._tell(Did.NOT_IN_FILE, name)

    def _tell(self, did: Did, name: str, keys: list[str] | None = None, prices: str = "") -> None:
        self.entries.append(Entry(did, name, tuple(keys or ()), prices))


def _roubles(drink: Mapping[str, Any]) -> str:
    kopecks = (drink.get(f"price_{size}") for size in SIZES)
    return ", ".join(f"{one / 100:.2f}" for one in kopecks if one is not None)


def _change(row: Base, values: dict[str, Any]) -> list[str]:
    """Write what differs; the file's names of those keys."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return [_FILE_KEYS.get(name, name) for name in changed]
