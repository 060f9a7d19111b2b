"""From the facts a provider told to an answer an order may believe: compared with our own ledger first. Pure."""

from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.payments.facts import Expected, PaymentFacts, ProviderStatus, differences

_STATES = {
    ProviderStatus.PENDING: PaymentState.PENDING,
    ProviderStatus.HELD: PaymentState.HELD,
    ProviderStatus.SUCCEEDED: PaymentState.CAPTURED,
    ProviderStatus.CANCELED: PaymentState.CANCELED,
}


def answer_of(facts: PaymentFacts, expected: Expected) -> PaymentAnswer | None:
    """What the facts mean for the expected payment; None for a status we do not know: ask again, decide nothing."""
    state = _STATES.get(facts.status)
    if state is None:
        return None
    wrong = differences(facts, expected)
    return PaymentAnswer(
        state=state,
        provider_payment_id=facts.provider_payment_id,
        confirmation_url=facts.confirmation_url or "",
        captured=facts.captured,
        refunded=facts.refunded,
        method=(facts.method or "")[:32],
        problem=",".join(wrong)[:64],
        cancel_reason=(facts.cancellation.reason or "")[:64] if facts.cancellation else "",
        hold_expires_at=facts.hold_expires_at,
        income=facts.income,
    )
