"""What can be edited, read for one person's scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.access.person import Scope
from cloud.console.shell.machines import named_like
from cloud.console.shell.section import Kind
from cloud.fleet.hand_edits import drink_id
from cloud.fleet.models import Credential, Device, Drink, Merchant

MOST = 1000


@dataclass(frozen=True)
class MerchantCard:
    """A merchant in the list."""

    id: str
    name: str
    machines: int


@dataclass(frozen=True)
class Account:
    """A merchant's account at a provider. Its secret is never read for a page."""

    scenario: str
    account_id: str
    capture: str
    status_check: str
    page_url: str
    status_url: str
    action_url: str
    receipt: Mapping[str, Any] | None
    version: int

    @property
    def vat_code(self) -> int | None:
        """The tax rate on its receipts; None where each drink has its own, or no receipt is sent."""
        return (self.receipt or {}).get("vat_code")


@dataclass(frozen=True)
class Machine:
    """A machine in the list."""

    device_uuid: str
    location: str
    serial_no: str
    status: str
    drinks: int


@dataclass(frozen=True)
class Machines:
    """The first of them, by place."""

    listed: Sequence[Machine]
    has_more: bool


@dataclass(frozen=True)
class MenuDrink:
    """A drink of a menu."""

    id: str
    drink_no: str
    name: str
    prices: tuple[int | None, int | None, int | None]


def merchants(session: Session, scope: Scope) -> list[MerchantCard]:
    query = (
        select(Merchant.id, Merchant.name, func.count(Device.device_uuid))
        .outerjoin(Device, Device.merchant_id == Merchant.id)
        .where(scope.where(Merchant.id))
        .group_by(Merchant.id, Merchant.name)
        .order_by(Merchant.name)
        .limit(MOST)
    )
    return [MerchantCard(*row) for row in session.execute(query)]


def accounts(session: Session, merchant_id: str) -> Sequence[Account]:
    columns = (
        Credential.scenario, Credential.account_id, Credential.capture, Credential.status_check, Credential.page_url,
        Credential.status_url, Credential.action_url, Credential.receipt, Credential.version,
    )  # fmt: skip
    query = select(*columns).where(Credential.merchant_id == merchant_id).order_by(Credential.scenario)
    return [Account(*row) for row in session.execute(query)]


def machines(session: Session, merchant_id: str, wanted: str = "") -> Machines:
    """Those whose name or place contains `wanted`, by place."""
    names = named_like(session, Scope(frozenset({merchant_id})), wanted, by_place=True) if wanted else None
    query = (
        select(Device.device_uuid, Device.location, Device.serial_no, Device.status, func.count(Drink.drink_no))
        .outerjoin(Drink, Drink.device_uuid == Device.device_uuid)
        .where(Device.merchant_id == merchant_id)
        .group_by(Device.device_uuid, Device.location, Device.serial_no, Device.status)
        .order_by(Device.location, Device.device_uuid)
        .limit(MOST + 1)
    )
    if names is not None:
        query = query.where(Device.device_uuid.in_(names[: MOST + 1]))
    found = [Machine(*row) for row in session.execute(query)]
    return Machines(found[:MOST], len(found) > MOST)


def menu(session: Session, device_uuid: str) -> list[MenuDrink]:
    query = select(Drink).where(Drink.device_uuid == device_uuid).order_by(Drink.position, Drink.drink_no).limit(MOST)
    return [
        MenuDrink(drink_id(device_uuid, row.drink_no), row.drink_no, row.name,
                  (row.price_small, row.price_medium, row.price_large))
        for row in session.scalars(query)
    ]  # fmt: skip


def _find(session: Session, name: str) -> Subject | None:
    device_uuid, _, drink_no = name.partition("/")
    query = select(Device.merchant_id).join(Drink, Drink.device_uuid == Device.device_uuid)
    owner = session.scalar(query.where(Drink.device_uuid == device_uuid, Drink.drink_no == drink_no))
    return None if owner is None else Subject("drink", name, owner, device_uuid)


DRINK = Kind("drink", "drink_id", _find)
