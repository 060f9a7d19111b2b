"""How the provider behaves where its documents leave it open, or where a test wants it unkind: switches."""

from datetime import timedelta

import msgspec

from simulator.yookassa.refunds import REFUND_FAILURES
from simulator.yookassa.state import Status

MAX_REFUND_DELAY = timedelta(days=365).total_seconds()


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """Defaults are the commonest reading of the documents.

    declined_keeps_pending: a declined card leaves the payment open for another try, not cancelled at once.
    unknown_id_as_404: an unknown id is answered 404 as specified, not 400 as observed.
    refund_failure: every refund ends cancelled for this reason. refund_delay: seconds until a refund is final
    whatever the method; None means at once for cards and wallets, the next (scaled) day for SBP.
    receipt_outcome: how the fiscal registrations under way end; `pending` holds them up until it is changed.
    """

    declined_keeps_pending: bool = False
    unknown_id_as_404: bool = False
    refund_failure: str | None = None
    refund_delay: float | None = None
    receipt_outcome: Status = Status.SUCCEEDED

    def __post_init__(self) -> None:
        if self.refund_failure is not None and self.refund_failure not in REFUND_FAILURES:
            raise ValueError(f"refund_failure is one of {', '.join(REFUND_FAILURES)}")
        if self.refund_delay is not None and not 0 <= self.refund_delay <= MAX_REFUND_DELAY:
            raise ValueError("refund_delay is a number of seconds from 0 to a year")
