"""The fault switches: what goes wrong between caller and API, at which call, how often, before or after the act.

Only decides which fault strikes a call; the API carries it out.
"""

from enum import StrEnum

from simulator.shell.faults import Switch


class FaultKind(StrEnum):
    """refuse: 400 with the API's error. unauthorized: 401. too_many_requests: 429. error_500: with the API's error.
    html_502: a gateway's page. hang: the answer comes after `seconds`. reset: the connection breaks.
    nonsense: 200 with JSON that means something else. no_price: 200, and the price is null.
    """

    REFUSE = "refuse"
    UNAUTHORIZED = "unauthorized"
    TOO_MANY_REQUESTS = "too_many_requests"
    ERROR_500 = "error_500"
    HTML_502 = "html_502"
    HANG = "hang"
    RESET = "reset"
    NONSENSE = "nonsense"
    NO_PRICE = "no_price"


class Endpoint(StrEnum):
    """The calls a fault can be aimed at."""

    ANY = "any"
    MAKE = "make"
    DRINK = "drink"
    HEARTBEAT = "heartbeat"


class Fault(Switch, frozen=True, forbid_unknown_fields=True):
    """One switch. `after_act`: the command is passed on, only its answer suffers."""

    kind: FaultKind
    endpoint: Endpoint = Endpoint.ANY
    after_act: bool = False

    def is_aimed_at(self, call: str) -> bool:
        """Whether a call of this name can be struck."""
        return self.endpoint in (Endpoint.ANY, call)
