"""`ProviderRig`: everything the provider contract suite needs of a provider and its simulator.

A new provider joins by one class of this shape and one line in `conftest.RIGS`. The tests know providers only so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.fleet.models import Credential
from cloud.payments.facts import RefundFacts
from cloud.payments.provider import NewPayment, Provider, Shop
from tests.cloud.payments.contract.wire import Wire

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Money:
    """Kopecks of one payment as the provider truly has them, whatever it answers."""

    held: int = 0
    taken: int = 0
    returned: int = 0


class ProviderRig(Protocol):
    """One provider behind its simulator, with two shops: `shop` is ours, `other_shop` is another merchant's.

    Amounts are kopecks. What a provider does not offer is said by the flags.
    """

    scenario: str
    """The payment scenario its credential has in the fleet."""
    shop: Shop
    other_shop: Shop
    wire: Wire
    """Between every client and the simulator."""
    lists: bool
    """It can list payments of a window; else a list is refused with the code `no_list`."""
    cancels_unpaid: bool
    """A payment nobody has paid can be cancelled."""
    notification_path: str
    """The cloud's door for its notifications."""
    notification_accepted: str
    """The exact text of the answer that ends redelivery; empty: any text."""

    def connect(self, shop: Shop, patience_s: float = 30.0) -> Provider:
        """A client of the shop, through the wire. The rig closes it at the end."""

    def booked(self, payment: NewPayment) -> None:
        """Our books know this payment. Called before it is created."""

    def returned(self, refund: RefundFacts) -> None:
        """Our books know of this refund now."""

    def credential(self, shop: Shop) -> Credential:
        """The fleet's row of the shop, for merchant `north`, without its secret."""

    def cloud_connect(self, shop: Shop, scenario: str) -> Provider:
        """Like `connect`, but its books are the database of the world it was made for."""

    def buyer_pays(self, provider_payment_id: str) -> None:
        """By a card that pays, on the provider's own page."""

    def buyer_is_declined(self, provider_payment_id: str) -> None:
        """By a card that is declined for good."""

    def time_passes(self, seconds: float) -> None:
        """At the provider alone."""

    def refund_by_hand(self, provider_payment_id: str, amount: int) -> None:
        """A person refunds in the provider's cabinet."""

    def money(self, provider_payment_id: str) -> Money: ...

    def payments(self) -> list[str]:
        """The ids of every payment ever opened at `shop`, oldest first."""

    def twisted(self, answer: bytes, *, status: bool = False, amount: bool = False, shop: bool = False) -> bytes:
        """The provider's answer about one payment, telling an unknown status, another sum or another shop."""

    def notification(self, provider_payment_id: str) -> bytes:
        """The notification the provider would send of this payment now."""

    def forged_notification(self, provider_payment_id: str) -> bytes:
        """A notification by somebody else which says that the payment is paid."""

    def post_notification(self, client: FlaskClient, body: bytes, forged: bool = False) -> TestResponse:
        """The notification arrives, `forged` from where a forger sits."""

    def close(self) -> None: ...
