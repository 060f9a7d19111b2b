"""How long things last at the bank, and how it behaves where its documents leave that open."""

from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Durations of the bank's rules. `redelivery` holds offsets in seconds from the event: hourly for a day, then
    daily for a month."""

    link: timedelta = timedelta(days=1)
    hold: timedelta = timedelta(days=7)
    sbp_refund: timedelta = timedelta(hours=1)
    redelivery: tuple[float, ...] = tuple([HOUR * n for n in range(1, 25)] + [DAY * n for n in range(2, 32)])

    def scaled(self, factor: float) -> "Terms":
        """The same rules with every duration multiplied by `factor` (0.01: an hour lasts 36 s)."""
        return replace(
            self,
            link=self.link * factor,
            hold=self.hold * factor,
            sbp_refund=self.sbp_refund * factor,
            redelivery=tuple(offset * factor for offset in self.redelivery),
        )


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """Defaults are the commonest reading of the documents.

    repeated_init: a second Init with an OrderId that was used is "refused" (error 8) or opens "another" payment.
    attempts: how many declined tries end a payment. original_amount: GetState tells the first sum also after part
    was returned. refund_delay: seconds until a refund is final; None means at once for cards, later for SBP.
    refund_fails: a refund that is not at once ends with the money still taken. numbers: notifications carry
    PaymentId as a number. declined_without_success: GetState of a declined payment says `Success: false`.
    """

    repeated_init: str = "refused"
    attempts: int = 1
    original_amount: bool = False
    refund_delay: float | None = None
    refund_fails: bool = False
    numbers: bool = False
    declined_without_success: bool = False

    def __post_init__(self) -> None:
        if self.repeated_init not in {"refused", "another"}:
            raise ValueError('repeated_init is "refused" or "another"')
        if not 1 <= self.attempts <= 100:
            raise ValueError("attempts is from 1 to 100")
        if self.refund_delay is not None and not 0 <= self.refund_delay <= 365 * DAY:
            raise ValueError("refund_delay is a number of seconds from 0 to a year")
