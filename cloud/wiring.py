"""Builds the cloud's parts from the settings, once. Nothing else constructs them, nothing is built at import."""

import os
import random
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from cloud import __version__
from cloud.background.ending import Ending
from cloud.background.loops import Clock, ThreadPool, utc_now
from cloud.courier.tmetr.client import TmetrClient
from cloud.courier.tmetr.http import TmetrHttp
from cloud.database.database import BESIDE_THE_POOL, Database
from cloud.fleet.custom_account import CUSTOM
from cloud.fleet.models import PROVIDER_OF
from cloud.fleet.vault import Vault
from cloud.metrics.counts import Counts
from cloud.metrics.totals import Keeper
from cloud.orders.order_limits import OrderLimits
from cloud.orders.return_rules import Limits
from cloud.orders.stage_times import StageTimes
from cloud.payments.call_worker import CallWorker
from cloud.payments.counted_calls import counted
from cloud.payments.custom.callback import PATH as CUSTOM_CALLBACK
from cloud.payments.custom.client import CustomClient
from cloud.payments.custom.ledger_view import LedgerView, addresses_of
from cloud.payments.openings import Openings
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.rate import TokenBucket
from cloud.payments.tbank.client import TBankClient
from cloud.payments.tbank.ledger_view import ledger_view_of
from cloud.payments.tbank.webhook import PATH as TBANK_WEBHOOK
from cloud.payments.tbank.webhook import SCENARIO as TBANK
from cloud.payments.yookassa.client import YooKassaClient
from cloud.settings import Settings


@dataclass
class Cloud:
    """The parts every process shares."""

    settings: Settings
    database: Database
    rules: OrderLimits
    """The limits of an order; `limits` are those of returns."""
    clients: ProviderClients
    owner: str
    clock: Clock
    counts: Counts = field(default_factory=Counts)
    """What this process counts."""

    def __post_init__(self) -> None:
        self.keeper = Keeper(self.database, self.counts)
        self.database.dispatchers.add(StageTimes(self.counts))
        self.openings = Openings(self.database, self.owner, self.clock)
        self.ending = Ending()
        self.ending.at_once(self.clients.begin_nothing)

    @property
    def limits(self) -> Limits:
        """What one person may return without another."""
        return Limits(round(self.settings.return_limit * 100), round(self.settings.return_day_limit * 100))

    def call_worker(self, pool: ThreadPool) -> CallWorker:
        """A caller of providers whose calls are made in the threads of `pool`."""
        return CallWorker(
            self.database, self.clients, self.rules, self.settings.public_url, self.owner, pool, jitter, self.clock,
            self.openings,
        )  # fmt: skip

    def tmetr(self) -> TmetrClient | None:
        """The client of the Tmetr API, when one is set up; it holds no connection."""
        if not self.settings.tmetr_url:
            return None
        http = TmetrHttp(self.settings.tmetr_url, self.settings.tmetr_token, f"coffee-relay/{__version__}")
        return TmetrClient(http)

    def close(self) -> None:
        """Close connections."""
        self.clients.close()
        self.database.close()


def build(settings: Settings, clock: Clock | None = None) -> Cloud:
    """The cloud of these settings. Opens nothing yet. Without a clock all programs go by the database's."""
    at_once = int(settings.database_connections) - BESIDE_THE_POOL
    database = Database(settings.database_url, pool_size=at_once, listen_url=settings.database_listen_url)
    clock = clock or database.clock
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    counts = Counts()
    clients = ProviderClients(database, vault, counted(connector(settings, database, clock), counts), clock)
    owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return Cloud(settings, database, rules_of(settings), clients, owner, clock, counts)


def rules_of(settings: Settings) -> OrderLimits:
    """The settings that limit an order."""
    return OrderLimits(**{name: getattr(settings, name) for name in OrderLimits.__dataclass_fields__})


def connector(settings: Settings, database: Database, clock: Clock = utc_now) -> Callable[[Shop, str], Provider]:
    """Makes the client for a payment scenario."""

    def connect(shop: Shop, scenario: str) -> Provider:
        if scenario == TBANK:
            return TBankClient(
                shop,
                settings.tbank_url,
                authorities=settings.tbank_ca_file,
                user_agent=f"coffee-relay/{__version__}",
                ledger=ledger_view_of(database),
                notification_url=settings.public_url + TBANK_WEBHOOK,
                bucket=TokenBucket(settings.tbank_rate, max(10.0, settings.tbank_rate)),
                now=clock,
            )
        if scenario == CUSTOM:
            addresses = addresses_of(database, shop.account_id)
            if addresses is None:
                raise NoCredential(f"account {shop.account_id} has no payment page any more")
            return CustomClient(
                shop,
                addresses,
                LedgerView(database, shop.account_id),
                user_agent=f"coffee-relay/{__version__}",
                callback_url=settings.public_url + CUSTOM_CALLBACK,
                now=clock,
            )
        if PROVIDER_OF.get(scenario) != "yookassa":
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
