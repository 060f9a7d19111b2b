"""The fault switches: what may go wrong between the merchant and the bank, where, how often, before or after the act.

Only decides which fault strikes a call; the API carries it out.
"""

from enum import StrEnum

from simulator.shell.faults import Switch


class FaultKind(StrEnum):
    """error_500: outcome unknown. hang: the answer comes after `seconds`. reset: the connection breaks.
    too_many_requests: 429. html_502: a gateway's page. half_json: the answer breaks off in the middle.
    bank_failure: `Success: false` of the bank's own making (9999). strange_status: a status nobody has documented.
    strangers: unknown fields. other_amount: the answer tells another sum.
    """

    ERROR_500 = "error_500"
    HANG = "hang"
    RESET = "reset"
    TOO_MANY_REQUESTS = "too_many_requests"
    HTML_502 = "html_502"
    HALF_JSON = "half_json"
    BANK_FAILURE = "bank_failure"
    STRANGE_STATUS = "strange_status"
    STRANGERS = "strangers"
    OTHER_AMOUNT = "other_amount"


class Method(StrEnum):
    """The calls a fault can be aimed at."""

    ANY = "any"
    INIT = "Init"
    GET_STATE = "GetState"
    CHECK_ORDER = "CheckOrder"
    CONFIRM = "Confirm"
    CANCEL = "Cancel"


class Fault(Switch, frozen=True, forbid_unknown_fields=True):
    """One switch. `after_commit`: the act is done, only its answer suffers."""

    kind: FaultKind
    method: Method = Method.ANY
    after_commit: bool = False
    retry_after: int = 2

    def is_aimed_at(self, call: str) -> bool:
        """Whether a call of this name can be struck."""
        return self.method in (Method.ANY, call)
