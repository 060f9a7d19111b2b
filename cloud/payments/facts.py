"""What a provider says of payments, refunds and shops, in our words, and whether it agrees with our ledger.

No I/O and no provider's wording; amounts are int kopecks, times are aware UTC. None means "not said".
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

CURRENCY = "RUB"

T_co = TypeVar("T_co", covariant=True)


class ProviderStatus(enum.Enum):
    """A payment as the provider sees it now. UNKNOWN_STATUS is a word we do not know: ask again, decide nothing."""

    PENDING = "pending"
    HELD = "held"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    UNKNOWN_STATUS = "unknown_status"


class RefundStatus(enum.Enum):
    """A refund as the provider sees it now; only SUCCEEDED means that money went back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    UNKNOWN_STATUS = "unknown_status"


@dataclass(frozen=True)
class Cancellation:
    """Who cancelled and why, in the provider's words (bounded, not a closed list)."""

    party: str | None
    reason: str | None


@dataclass(frozen=True)
class PaymentFacts:
    """What the provider says of a payment now. None is "not said". `captured` and `refunded` are kopecks, too.

    `raw` is the bounded JSON text kept as evidence, without card and payer details.
    """

    provider_payment_id: str
    status: ProviderStatus
    amount: int
    currency: str
    captured: int = 0
    refunded: int = 0
    method: str | None = None
    test: bool | None = None
    account_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    confirmation_url: str | None = None
    created_at: datetime | None = None
    hold_expires_at: datetime | None = None
    cancellation: Cancellation | None = None
    receipt_registration: str | None = None
    income: int | None = None
    """Of what was captured, what reaches the shop: less the provider's commission."""
    raw: str = field(default="", repr=False)


@dataclass(frozen=True)
class RefundFacts:
    """What the provider says of a refund now."""

    provider_refund_id: str
    provider_payment_id: str
    status: RefundStatus
    amount: int
    currency: str
    cancellation: Cancellation | None = None
    created_at: datetime | None = None
    receipt_registration: str | None = None
    raw: str = field(default="", repr=False)


@dataclass(frozen=True)
class ShopFacts:
    """What the provider says of the credential itself: the start-up self-check."""

    account_id: str
    enabled: bool
    test: bool | None
    fiscalization: bool | None
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """An entry of a list that could not be read: why, and whose it is as far as it says so."""

    why: str
    provider_payment_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """One page of a list, newest first. `next_cursor` None is the last page.

    `unreadable` names what the page held and we could not read: reconciliation must report it, never skip it.
    """

    items: tuple[T_co, ...]
    next_cursor: str | None
    unreadable: tuple[Unread, ...] = ()


@dataclass(frozen=True)
class Expected:
    """What our ledger says a payment must look like."""

    account_id: str
    amount: int
    metadata: Mapping[str, str]
    currency: str = CURRENCY


def differences(facts: PaymentFacts, expected: Expected) -> tuple[str, ...]:
    """Names of what the provider says otherwise than our ledger; empty when they agree.

    What is not said is no difference, except metadata: a payment without our marks is not ours to believe. Whether it
    is a test says the shop, not the order: reconciliation compares the two.
    """
    pairs: list[tuple[str, object, object]] = [
        ("account_id", facts.account_id or expected.account_id, expected.account_id),
        ("amount", facts.amount, expected.amount),
        ("currency", facts.currency, expected.currency),
    ]
    pairs += [(f"metadata.{name}", facts.metadata.get(name), text) for name, text in expected.metadata.items()]
    return tuple(name for name, said, ours in pairs if said != ours)
