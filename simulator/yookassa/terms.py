"""How long things last at the provider, as published; one factor shrinks them all for tests and demos."""

from dataclasses import dataclass, replace
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Durations of the provider's rules. `redelivery` holds offsets in seconds from the event."""

    payment_lifetime: timedelta = timedelta(hours=1)
    hold: timedelta = timedelta(days=7)
    sbp_refund: timedelta = timedelta(days=1)
    receipt: timedelta = timedelta(minutes=1)
    key_memory: timedelta = timedelta(hours=24)
    refund_window: timedelta = timedelta(days=3 * 365)
    sberpay_refund_window: timedelta = timedelta(days=365)
    redelivery: tuple[float, ...] = (10, 42, 84, 168, 672, 5376, 86016)

    def scaled(self, factor: float) -> "Terms":
        """The same rules with every duration multiplied by `factor` (0.01: an hour lasts 36 s)."""
        return replace(
            self,
            payment_lifetime=self.payment_lifetime * factor,
            hold=self.hold * factor,
            sbp_refund=self.sbp_refund * factor,
            receipt=self.receipt * factor,
            key_memory=self.key_memory * factor,
            refund_window=self.refund_window * factor,
            sberpay_refund_window=self.sberpay_refund_window * factor,
            redelivery=tuple(offset * factor for offset in self.redelivery),
        )
