"""What a buyer may see of an order and its machine: one `OrderView` for status JSON, events and page. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloud.orders.return_progress import Return
from cloud.orders.states import FINAL, PAYABLE, Status

RESERVED = "reserved"
"""The obstacle when another buyer is paying at this machine."""
CHECKING = "checking"
"""The obstacle while the machine has been asked and has not answered yet."""


@dataclass(frozen=True)
class Queue:
    """Drinks that this machine pours first. `over_by` is when it has probably finished; None when nobody can say."""

    ahead: int
    over_by: datetime | None


NOBODY = Queue(0, None)


@dataclass(frozen=True)
class ReceiptView:
    """The fiscal receipt of an order whose merchant sends one (54-FZ). Never the address: others may look too."""

    is_email_required: bool
    is_email_known: bool
    """Given for an earlier payment of the order, and still kept."""
    state: str
    """See `receipts.ReceiptState`; "" before the first payment."""


@dataclass(frozen=True)
class DeviceView:
    """The machine as its buyer sees it; notes are clean HTML."""

    device_uuid: str
    location: str
    logo_url: str
    notes: Mapping[str, str]
    has_menu: bool = True
    """A new order can be begun on our own menu page."""
    zone: str = ""
    """The time its buyers read; empty: Moscow's."""
    contact: str = ""
    """Its merchant's e-mail address, for a page about an error."""


@dataclass(frozen=True)
class OrderView:
    """One order as its buyer may see it. Amounts are kopecks."""

    order_id: str
    version: int
    status: Status
    stage: str
    progress: int
    reason: str
    uncertain: bool
    drink_no: str
    drink_name: str
    size: int
    price: int
    expires_at: datetime
    due_at: datetime | None
    return_after: datetime | None
    accepted_at: datetime | None
    """When the machine took the newest command."""
    payment_scenario: str
    was_begun: bool
    """A payment was begun: from then on its buyer may say that something is wrong."""
    was_paid: bool
    was_commanded: bool
    method: str
    """Of the payment whose return is told of; else of the one that pays the order."""
    is_hold: bool
    """That payment's money was held and never taken."""
    hold_is_gone: bool
    """The hold that was to pay the order was released, whoever asked for it."""
    cancel_reason: str
    money_back: Return | None
    device: DeviceView
    receipt: ReceiptView | None = None
    """None where the merchant sends none."""
    obstacle: str = ""
    """Why it cannot be made now; only looked for while the buyer can still decide."""
    until: datetime | None = None
    """When the obstacle is over, where somebody can honestly say."""
    ready_by: datetime | None = None
    """When such a drink is usually ready; None when nobody can honestly say."""
    queue: Queue = NOBODY
    """What the machine pours before this paid order."""
    waits_for_person: bool = False
    """Whether its money goes back is being decided by a person."""
    never_tells: bool = False
    """This machine cannot say what becomes of the drink; nothing is known to have gone wrong."""
    no_pour: str = ""
    """Why the phone that looks may not have the late-paid drink poured; "" when it may."""
    contact: str = ""
    """The merchant's e-mail address, for a drink that failed: somebody must be there to turn to."""
    claim: str = ""
    """How the claim of the phone that looks stands (`claims.ClaimState`); "" when it has none."""

    @property
    def needs_email(self) -> bool:
        """Whether the buyer must say where the receipt goes."""
        return self.receipt is not None and self.receipt.is_email_required

    @property
    def returning(self) -> bool:
        """Money is on its way back, and not there yet."""
        return self.money_back is not None and self.money_back.status != "done"

    @property
    def is_final(self) -> bool:
        """No deadline moves the order any more."""
        return self.status in FINAL

    def can_be_paid(self, now: datetime) -> bool:
        """Whether a new payment may be started."""
        return self.status in PAYABLE and now < self.expires_at
