"""What is wrong with money, receipts, claims and contracts now."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.orm import Session

from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.fleet import accounts
from cloud.fleet.accounts import Account
from cloud.fleet.custom_account import CUSTOM
from cloud.fleet.models import Credential, Merchant
from cloud.orders.at_risk import MoneyAtRisk, Next, each_at_risk
from cloud.orders.claims import Claim, ClaimState
from cloud.orders.models import Order, Payment
from cloud.orders.receipts import TOLD_FOR, UNREGISTERED, Receipt, ReceiptState
from cloud.payments.reconcile.models import FoundDifference, State

WAITS_FOR_PERSON = timedelta(minutes=10)
STUCK_AFTER = timedelta(hours=1)
"""A return or a capture is a matter of minutes at the provider; longer, somebody should look."""
RETURNING = frozenset({Next.RETURN_OPEN, Next.RETURN_ASKED})
ENDING_WITHIN = timedelta(days=14)
ENDED_FOR = timedelta(days=7)
"""A contract that nobody has prolonged by then was let end."""
FAILED_ASKS, PAYMENTS_AFFECTED = 3, 3
"""A provider is down when so many payments were each asked about so often in vain."""
LATELY = timedelta(minutes=2)
"""A provider where a payment was opened or paid since then does answer somebody."""
PAYS_WITHIN = timedelta(hours=1)
ASKED_IN_VAIN_FOR = timedelta(days=1)
"""What is asked about in vain for longer hangs for a reason of its own."""


@dataclass(frozen=True)
class _InVain:
    """Payments of one shop that were asked about in vain."""

    shop: Account
    payments: int
    since: datetime


Unreadable = Callable[[], Collection[Account]]


def money_at_risk(session: Session, now: datetime, unreadable: Unreadable = tuple) -> list[Condition]:
    """Money that waits for a person, returns and captures that hang, refused keys: one trouble a merchant (or shop)."""
    waiting: dict[str, list[MoneyAtRisk]] = {}
    stuck: dict[str, list[MoneyAtRisk]] = {}
    untaken: dict[str, list[MoneyAtRisk]] = {}
    refused: dict[tuple[str, str], list[MoneyAtRisk]] = {}
    for money in each_at_risk(session, now, unreadable=unreadable()):
        if money.key_is_refused or not money.has_credential:
            refused.setdefault((money.merchant_id, money.account_id), []).append(money)
        elif money.action is Next.PERSON and now - money.since >= WAITS_FOR_PERSON:
            waiting.setdefault(money.merchant_id, []).append(money)
        elif money.action in RETURNING and now - _returning_since(money) >= STUCK_AFTER:
            stuck.setdefault(money.merchant_id, []).append(money)
        elif money.action is Next.CAPTURE_DUE and now - money.since >= STUCK_AFTER:
            untaken.setdefault(money.merchant_id, []).append(money)
    return [
        *(_sum(Kind.MONEY_WAITS, merchant, "", money) for merchant, money in waiting.items()),
        *(_sum(Kind.RETURN_STUCK, merchant, "", money, _returning_since) for merchant, money in stuck.items()),
        *(_sum(Kind.CAPTURE_STUCK, merchant, "", money) for merchant, money in untaken.items()),
        *(_sum(Kind.KEY_REFUSED, merchant, shop, money) for (merchant, shop), money in refused.items()),
    ]


def differences(session: Session, now: datetime) -> list[Condition]:
    """What reconciliation found and nobody has explained."""
    asked = (
        select(FoundDifference.merchant_id, func.count(), func.min(FoundDifference.first_seen_at))
        .where(FoundDifference.state == State.OPEN.value)
        .group_by(FoundDifference.merchant_id)
    )
    return [
        Condition(Kind.DIFFERENCE, merchant, "", since, {"findings": number})
        for merchant, number, since in session.execute(asked)
    ]


def unregistered_receipts(session: Session, now: datetime) -> list[Condition]:
    """Fiscal receipts that were refused, or awaited for days; however old their orders are."""
    is_awaited = and_(Receipt.state == ReceiptState.PENDING.value, Receipt.given_up.is_(False))
    asked = (
        select(Order.merchant_id, func.count(), func.max(Receipt.order_id), func.min(Receipt.since))
        .join(Order, Order.id == Receipt.order_id)
        .where(text(UNREGISTERED), or_(is_awaited, Receipt.since > now - TOLD_FOR))
        .group_by(Order.merchant_id)
    )
    return [
        Condition(Kind.RECEIPT_REFUSED, merchant, "", since or now, {"receipts": number, "order": order})
        for merchant, number, order, since in session.execute(asked)
    ]


def waiting_claims(session: Session, now: datetime) -> list[Condition]:
    """What buyers reported and nobody has answered yet."""
    asked = (
        select(Claim.merchant_id, func.count(), func.min(Claim.changed_at), func.min(Claim.order_id))
        .where(Claim.state == ClaimState.OPEN.value)
        .group_by(Claim.merchant_id)
    )
    return [
        Condition(Kind.CLAIM_WAITS, merchant, "", since, {"claims": number, "order": order})
        for merchant, number, since, order in session.execute(asked)
    ]


def ending_contracts(session: Session, now: datetime) -> list[Condition]:
    """Merchants whose contract ends soon, or ended lately; after its last day nothing is sold."""
    ended, soon = (now - ENDED_FOR).date(), (now + ENDING_WITHIN).date()
    asked = select(Merchant.id, Merchant.valid_until).where(Merchant.valid_until.between(ended, soon))
    return [
        Condition(
            Kind.VALIDITY_ENDING, merchant, "", datetime.combine(last, time(), UTC) - ENDING_WITHIN,
            {"last_day": last.isoformat()},
        )
        for merchant, last in session.execute(asked)
        if last is not None
    ]  # fmt: skip


def silent_providers(session: Session, now: datetime, unreadable: Unreadable = tuple) -> list[Condition]:
    """Payment providers that answer no shop at all. A merchant's own page counts as no provider."""
    shop = (Payment.merchant_id, Payment.scenario, Payment.account_id)
    asked = (
        select(*shop, func.count(), func.min(Payment.started_at))
        .where(
            Payment.next_check_at.is_not(None), Payment.checks >= FAILED_ASKS, Payment.key_refused.is_(False),
            Payment.scenario != CUSTOM, Payment.started_at > now - ASKED_IN_VAIN_FOR,
        )
        .group_by(*shop)
    )  # fmt: skip
    in_vain = [_InVain((row[0], row[1], row[2]), row[3], row[4]) for row in session.execute(asked)]
    if sum(each.payments for each in in_vain) < PAYMENTS_AFFECTED:
        return []
    with_key = set(accounts.versions(session)) - set(unreadable())
    scenarios: dict[str, list[_InVain]] = {}
    for each in in_vain:
        if each.shop in with_key:
            scenarios.setdefault(each.shop[1], []).append(each)
    found = [_silent(session, now, scenario, shops) for scenario, shops in scenarios.items()]
    return [each for each in found if each is not None]


def _silent(session: Session, now: datetime, scenario: str, in_vain: Sequence[_InVain]) -> Condition | None:
    """One shop that gets no answer may be to blame itself, where others asked lately and none of them waits."""
    number, merchants = sum(each.payments for each in in_vain), {each.shop[0] for each in in_vain}
    if number < PAYMENTS_AFFECTED:
        return None
    there = set(session.scalars(select(Credential.merchant_id).where(Credential.scenario == scenario)))
    if (len(merchants) == 1 and _has_asked(session, now, scenario, there - merchants)) or _answers(
        session, now, scenario, there
    ):
        return None
    facts = {"payments": number, "merchants": sorted(there | merchants)}
    return Condition(Kind.PROVIDER_DOWN, PLATFORM, scenario, min(each.since for each in in_vain), facts)


def _has_asked(session: Session, now: datetime, scenario: str, merchants: Collection[str]) -> bool:
    its = (Payment.merchant_id.in_(merchants), Payment.scenario == scenario)
    lately = Payment.started_at > now - ASKED_IN_VAIN_FOR
    return session.scalar(select(Payment.id).where(*its, lately).limit(1)) is not None


def _answers(session: Session, now: datetime, scenario: str, merchants: Collection[str]) -> bool:
    lately = or_(*(at.between(now - LATELY, now) for at in (Payment.started_at, Payment.paid_at)))
    answered = select(Payment.id).where(
        Payment.merchant_id.in_(merchants), Payment.scenario == scenario, Payment.started_at > now - PAYS_WITHIN,
        lately, Payment.provider_payment_id.is_not(None), Payment.checks == 0,
    )  # fmt: skip
    return session.scalar(answered.limit(1)) is not None


def _at_risk_since(money: MoneyAtRisk) -> datetime:
    return money.since


def _returning_since(money: MoneyAtRisk) -> datetime:
    return money.return_since or money.since


def _sum(
    kind: Kind, merchant: str, subject: str, money: Iterable[MoneyAtRisk],
    since: Callable[[MoneyAtRisk], datetime] = _at_risk_since,
) -> Condition:  # fmt: skip
    oldest_first = sorted(money, key=since)
    facts = {
        "payments": len(oldest_first), "kopecks": sum(each.kopecks for each in oldest_first),
        "order": oldest_first[0].order_id,
    }  # fmt: skip
    return Condition(kind, merchant, subject, since(oldest_first[0]), facts)
