"""The fault switches: what may go wrong between the shop and the provider, where, how often, before or after the act.

Only decides which fault strikes a call; the API carries it out.
"""

from enum import StrEnum

from simulator.shell.faults import Switch


class FaultKind(StrEnum):
    """error_500: outcome unknown. hang: the answer comes after `seconds`. drip: a byte at a time,
    never whole. reset: the connection breaks.
    too_many_requests: 429. accepted_202: the legacy "still processing". html_502: a gateway's page, not JSON.
    strangers: the object carries fields and a payment method nobody has documented.
    income_untold: a payment does not say what the shop receives of it.
    """

    ERROR_500 = "error_500"
    HANG = "hang"
    DRIP = "drip"
    RESET = "reset"
    TOO_MANY_REQUESTS = "too_many_requests"
    ACCEPTED_202 = "accepted_202"
    HTML_502 = "html_502"
    STRANGERS = "strangers"
    INCOME_UNTOLD = "income_untold"


class Endpoint(StrEnum):
    """The calls a fault can be aimed at."""

    ANY = "any"
    CREATE = "create"
    GET = "get"
    LIST = "list"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    GET_REFUND = "get_refund"
    LIST_REFUNDS = "list_refunds"
    ME = "me"
    RECEIPTS = "receipts"


class Fault(Switch, frozen=True, forbid_unknown_fields=True):
    """One switch. `after_commit`: the act is done, only its answer suffers. `retry_after`: milliseconds."""

    kind: FaultKind
    endpoint: Endpoint = Endpoint.ANY
    after_commit: bool = False
    retry_after: int = 1800

    def is_aimed_at(self, call: str) -> bool:
        """Whether a call of this name can be struck."""
        return self.endpoint in (Endpoint.ANY, call)
