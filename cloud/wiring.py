"""Builds the cloud's parts from the settings, once. Nothing else constructs them, nothing is built at import."""

import os
import random
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from cloud import __version__
from cloud.db import Database
from cloud.fleet.vault import Vault
from cloud.loops import Clock, Crew, utc_now
from cloud.orders.rules import Rules
from cloud.payments.cashier import Cashier
from cloud.payments.provider import Provider, Shop
from cloud.payments.rate import TokenBucket
from cloud.payments.shops import NoCredential, Shops
from cloud.payments.yookassa import YooKassaClient
from cloud.settings import Settings

HANDS = 16
"""Provider calls under way at once in one process; each may take its 35 s."""


@dataclass
class Cloud:
    """The parts every process shares."""

    settings: Settings
    database: Database
    rules: Rules
    shops: Shops
    owner: str
    clock: Clock

    def cashier(self, crew: Crew) -> Cashier:
        """A cashier whose calls are made by `crew`."""
        return Cashier(
            self.database, self.shops, self.rules, self.settings.public_url, self.owner, crew, jitter, self.clock
        )  # fmt: skip

    def close(self) -> None:
        """Close connections."""
        self.shops.close()
        self.database.close()


def build(settings: Settings, clock: Clock = utc_now) -> Cloud:
    """The cloud of these settings. Opens nothing yet."""
    database = Database(settings.database_url, pool_size=HANDS)
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    shops = Shops(database, vault, connector(settings))
    owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return Cloud(settings, database, rules_of(settings), shops, owner, clock)


def rules_of(settings: Settings) -> Rules:
    """The settings an order lives by."""
    return Rules(**{name: getattr(settings, name) for name in Rules.__dataclass_fields__})


def connector(settings: Settings) -> Callable[[Shop, str], Provider]:
    """Makes the client for a payment scenario."""

    def connect(shop: Shop, scenario: str) -> Provider:
        if scenario != "Yookassa":
            raise NoCredential(f"payment scenario {scenario} is not available in this version")
        return YooKassaClient(
            shop,
            settings.yookassa_url,
            user_agent=f"coffee-relay/{__version__}",
            bucket=TokenBucket(settings.yookassa_rate, max(10.0, settings.yookassa_rate)),
        )

    return connect


def new_payment_id() -> str:
    """Our id of one payment attempt."""
    return uuid.uuid4().hex


def jitter() -> float:
    return random.random()  # noqa: S311  # spreads retries, keeps no secret
