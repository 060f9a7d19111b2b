"""One payment or refund as the provider tells it against one in our ledger: what is different, by name. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.payments.expected import expected_of
from cloud.payments.facts import PaymentFacts, ProviderStatus, RefundFacts, RefundStatus, Unread, differences
from cloud.payments.reconcile.kinds import Finding, Kind

RECEIPT_REFUSED = "canceled"
REFUND_SLOW = timedelta(days=3)
"""The slowest method's money has arrived by then (docs/yookassa.md 2.2); an unfinished return is a person's."""
OUR_MARKS = frozenset({"order_id", "payment"})
"""Metadata we give every payment."""

_H, _C = PaymentState.HELD, PaymentState.CAPTURED
_OPEN = frozenset({PaymentState.CREATING, PaymentState.PENDING})
_OVER = frozenset({PaymentState.CANCELED, PaymentState.REFUSED})
_OF_RETURNS = frozenset({Kind.REFUNDED_NOT_HERE, Kind.REFUNDED_ONLY_HERE})
_ATTRIBUTES = {"amount": Kind.AMOUNT_DIFFERS, "currency": Kind.CURRENCY_DIFFERS, "account_id": Kind.SHOP_DIFFERS}


def compare_payment(facts: PaymentFacts, payment: Payment, shop_is_test: bool | None = None) -> list[Finding]:
    """Every difference between the two; empty when they agree. `shop_is_test` None does not compare."""
    found = [*_attributes(facts, payment), *_state(facts, payment), *_returned(facts, payment)]
    if shop_is_test is not None and facts.test is not None and facts.test != shop_is_test:
        found.append(_of(Kind.TEST_FLAG, payment, detail=f"test: {facts.test}, the shop's: {shop_is_test}"))
    if facts.receipt_registration == RECEIPT_REFUSED:
        found.append(_of(Kind.RECEIPT_FAILED, payment))
    return found


def unmatched_payment(facts: PaymentFacts, attempt: Payment | None) -> Finding | None:
    """A payment whose id our ledger lacks; `attempt` is ours with its mark. None when it has no marks of ours."""
    if not facts.metadata.keys() >= OUR_MARKS:
        return None
    here = attempt is not None and attempt.provider_payment_id is None
    kind = Kind.LOST_AND_FOUND if here else Kind.SECOND_PAYMENT if attempt is not None else Kind.UNKNOWN_PAYMENT
    there = money_of(facts)
    return Finding(
        kind,
        facts.provider_payment_id,
        order_id=facts.metadata["order_id"][:255],
        payment_id=facts.metadata["payment"][:64],
        provider_id=facts.provider_payment_id[:64],
        there=there,
        detail=f"{facts.status.value} there",
        excused=not here and facts.status in {ProviderStatus.CANCELED, ProviderStatus.SUCCEEDED} and there == 0,
    )


def unreadable_entry(entry: Unread, ours: Payment | None, day: str) -> Finding:
    """What the provider's list has and nobody can read; with the money our ledger has of the payment it names."""
    subject = f"{day}:{entry.provider_payment_id or entry.why}"
    if ours is not None:
        return replace(_of(Kind.UNREADABLE, ours, _money_here(ours), detail=entry.why), subject=subject)
    marks = entry.metadata
    return Finding(
        Kind.UNREADABLE, subject, marks.get("order_id", "")[:255], marks.get("payment", "")[:64],
        entry.provider_payment_id[:64], detail=entry.why[:500],
    )  # fmt: skip


def compare_refund(refund: RefundFacts, payment: Payment, booked: int | None, now: datetime) -> Finding | None:
    """A return the provider tells of; `booked` is what our ledger has under its id, None when it has nothing."""
    if refund.status is RefundStatus.SUCCEEDED and booked is None:
        return _of_refund(Kind.REFUNDED_NOT_HERE, payment, refund.provider_refund_id, 0, refund.amount)
    if refund.status is RefundStatus.SUCCEEDED and booked != refund.amount:
        return _of_refund(Kind.REFUND_AMOUNT_DIFFERS, payment, refund.provider_refund_id, booked, refund.amount)
    if refund.status in {RefundStatus.PENDING, RefundStatus.UNKNOWN_STATUS}:
        young = refund.created_at is None or now - refund.created_at < REFUND_SLOW
        pending = _of_refund(Kind.REFUND_PENDING, payment, refund.provider_refund_id, None, refund.amount)
        return replace(pending, excused=young)
    return None


def refund_only_here(payment: Payment, refund_id: str, amount: int) -> Finding:
    """A return in our ledger that the provider says it does not have, or did not make."""
    return _of_refund(Kind.REFUNDED_ONLY_HERE, payment, refund_id, amount, 0)


def is_of_returns(finding: Finding) -> bool:
    """Another sum of the payment went back there than here."""
    return finding.kind in _OF_RETURNS


def by_refund(
    found: Sequence[Finding], told: Sequence[RefundFacts], payment: Payment, booked: Mapping[str, int], now: datetime
) -> list[Finding]:
    """`found` of a payment, with a finding for each of its returns in place of the one for their sum.

    `told` is by the provider, `booked` by our ledger. Where the returns do not make up the sum, the sum stays.
    """
    done = {refund.provider_refund_id: refund for refund in told if refund.status is RefundStatus.SUCCEEDED}
    compared = (compare_refund(refund, payment, booked.get(name), now) for name, refund in done.items())
    each = [finding for finding in compared if finding is not None]
    each += [refund_only_here(payment, name, amount) for name, amount in booked.items() if name not in done]
    others = [finding for finding in found if not is_of_returns(finding)]
    missing = sum(_lacking(finding) for finding in found if is_of_returns(finding))
    return [*others, *each] if missing == sum(_lacking(finding) for finding in each) else list(found)


def missing_there(payment: Payment) -> Finding:
    """The provider knows no such payment."""
    return _of(Kind.MISSING_THERE, payment, payment.captured - payment.refunded, None, f"{payment.state} here")


def money_of(facts: PaymentFacts) -> int:
    """Kopecks the provider has of the buyer's now."""
    return facts.amount if facts.status is ProviderStatus.HELD else facts.captured - facts.refunded


def _attributes(facts: PaymentFacts, payment: Payment) -> Iterable[Finding]:
    wrong = differences(facts, expected_of(payment))
    known = frozenset(payment.problem.split(","))
    for name in wrong:
        if name == "amount" and payment.state == _C and facts.captured == payment.captured:
            continue  # taken in part, as our ledger says
        kind = _ATTRIBUTES.get(name, Kind.METADATA_DIFFERS)
        here, there = (payment.amount, facts.amount) if kind is Kind.AMOUNT_DIFFERS else (None, None)
        yield _of(kind, payment, here, there, name, excused=name in known)


def _state(facts: PaymentFacts, payment: Payment) -> Iterable[Finding]:
    here = PaymentState(payment.state)
    kind = _kind_of(facts.status, here)
    if kind is not None:
        words = f"{here.value} here, {facts.status.value} there"
        yield _of(kind, payment, _money_here(payment), money_of(facts), words)
    elif here is _C and facts.captured != payment.captured:
        yield _of(Kind.AMOUNT_DIFFERS, payment, payment.captured, facts.captured, "captured")


def _kind_of(there: ProviderStatus, here: PaymentState) -> Kind | None:
    match there:
        case ProviderStatus.SUCCEEDED:
            return None if here is _C else Kind.CAPTURED_NOT_HERE
        case ProviderStatus.HELD:
            return None if here is _H else Kind.TAKEN_ONLY_HERE if here is _C else Kind.HELD_NOT_HERE
        case ProviderStatus.CANCELED:
            return None if here in _OVER else Kind.TAKEN_ONLY_HERE if here is _C else Kind.CANCELED_NOT_HERE
        case ProviderStatus.PENDING:
            return None if here in _OPEN else Kind.OPEN_THERE if here in _OVER else Kind.TAKEN_ONLY_HERE
        case ProviderStatus.UNKNOWN_STATUS:
            return Kind.UNKNOWN_STATUS


def _returned(facts: PaymentFacts, payment: Payment) -> Iterable[Finding]:
    if facts.refunded > payment.refunded:
        yield _of(Kind.REFUNDED_NOT_HERE, payment, payment.refunded, facts.refunded)
    elif facts.refunded < payment.refunded:
        yield _of(Kind.REFUNDED_ONLY_HERE, payment, payment.refunded, facts.refunded)


def _money_here(payment: Payment) -> int:
    return payment.amount if payment.state == _H else payment.captured - payment.refunded


def _of(
    kind: Kind, payment: Payment, here: int | None = None, there: int | None = None, detail: str = "",
    excused: bool = False,
) -> Finding:  # fmt: skip
    return Finding(
        kind, payment.id, payment.order_id, payment.id, payment.provider_payment_id or "",
        here=here, there=there, detail=detail, excused=excused,
    )  # fmt: skip


def _of_refund(kind: Kind, payment: Payment, refund_id: str, here: int | None, there: int | None) -> Finding:
    """Each return by itself: of one payment several may differ, each on its own day."""
    whole = _of(kind, payment, here, there, f"refund {refund_id}")
    return replace(whole, subject=f"{payment.id}:{refund_id}")


def _lacking(finding: Finding) -> int:
    return (finding.there or 0) - (finding.here or 0)
