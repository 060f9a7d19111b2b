"""The simulated YooKassa's control API over HTTP: the buyer's part, faults, spoiled and forged notifications, time."""

from collections.abc import Mapping
from random import Random
from typing import Any

import requests

from simulator.yookassa.faults import Endpoint, FaultKind

TIMEOUT_S = 30.0
AN_HOUR_S = 3700.0
"""After it the provider gives up a payment nobody made."""
_ENDPOINTS = (Endpoint.ANY, Endpoint.CREATE, Endpoint.GET, Endpoint.CAPTURE, Endpoint.CANCEL, Endpoint.REFUND)
_KINDS = tuple(kind for kind in FaultKind if kind is not FaultKind.STRANGERS)


class ProviderDesk:
    """One simulated provider, by its address."""

    def __init__(self, address: str) -> None:
        self._sim = f"{address}/sim"

    def pay(self, payment_id: str) -> bool:
        """A buyer pays; False when the payment cannot be paid any more."""
        return self._ask("POST", f"pay/{payment_id}").ok

    def decline(self, payment_id: str) -> bool:
        """A buyer's card is declined."""
        return self._ask("POST", f"decline/{payment_id}").ok

    def fault(self, random: Random) -> str:
        """Switch on any fault until `mend`; in words."""
        fault: dict[str, Any] = {
            "kind": random.choice(_KINDS),
            "endpoint": random.choice(_ENDPOINTS),
            "after_commit": random.random() < 0.5,
            "times": None,
            "probability": round(random.uniform(0.3, 1.0), 2),
            "seconds": round(random.uniform(1.0, 6.0), 1),
        }
        self._ask("POST", "faults", fault).raise_for_status()
        moment = "after the act" if fault["after_commit"] else "before the act"
        return f"{fault['kind']} on {fault['endpoint']}, {moment}, {fault['probability']:.0%} of calls"

    def spoil_notifications(self, random: Random) -> str:
        """Notifications are lost, copied, late or out of order until `mend_notifications`; in words."""
        ways: tuple[dict[str, Any], ...] = (
            {"silent": True},
            {"lose": 0.7},
            {"copies": 5},
            {"delay": 4.0},
            {"reorder": 3.0},
            {"fail_first": 5},
        )
        mischief = random.choice(ways)
        self._ask("PUT", "webhooks", mischief).raise_for_status()
        return ", ".join(f"{name} {value}" for name, value in mischief.items())

    def forge(self, payment_id: str, random: Random) -> str:
        """A notification that lies about a payment; in words."""
        status = random.choice(("succeeded", "waiting_for_capture", "canceled"))
        claims = {"status": status, "paid": status != "canceled"}
        lie = {"payment_id": payment_id, "event": f"payment.{status}", "claims": claims}
        self._ask("POST", "webhooks/forge", lie).raise_for_status()
        return f"payment.{status} of {payment_id}"

    def slow_refunds(self, seconds: float | None) -> None:
        """Refunds take so long, until `mend`; None: no time."""
        self._ask("PUT", "behaviour", {"refund_delay": seconds}).raise_for_status()

    def mend(self) -> None:
        """No fault any more, and refunds at once."""
        self._ask("DELETE", "faults").raise_for_status()
        self._ask("PUT", "behaviour", {}).raise_for_status()

    def mend_notifications(self) -> None:
        self._ask("PUT", "webhooks", {}).raise_for_status()

    def an_hour_passes(self) -> None:
        """What nobody paid is cancelled."""
        self._ask("POST", "clock", {"advance": AN_HOUR_S}).raise_for_status()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        return requests.request(method, f"{self._sim}/{path}", json=dict(body or {}), timeout=TIMEOUT_S)
