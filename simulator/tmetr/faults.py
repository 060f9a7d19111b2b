"""The fault switches: what goes wrong between caller and API, at which call, how often, before or after the act.

Only decides which fault strikes a call; the API carries it out.
"""

import threading
from enum import StrEnum

import msgspec

MAX_FAULTS = 100
MAX_SECONDS = 120.0
"""A hang holds a server thread."""


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


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One switch. `after_act`: the command is passed on, only its answer suffers. `times` None: until switched off."""

    kind: FaultKind
    endpoint: Endpoint = Endpoint.ANY
    after_act: bool = False
    times: int | None = 1
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1, or null")
        if not 0 <= self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds is from 0 to {MAX_SECONDS:g}")


class FaultBoard:
    """The switches now on; the first that fits a call strikes it. Any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Switch on one more; ValueError when there are too many."""
        with self._lock:
            if len(self._faults) >= MAX_FAULTS:
                raise ValueError(f"at most {MAX_FAULTS} faults at a time")
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def standing(self) -> list[Fault]:
        """What is on, with the times left."""
        with self._lock:
            return list(self._faults)

    def strike(self, endpoint: Endpoint) -> Fault | None:
        """The fault this call suffers, used up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.endpoint in (Endpoint.ANY, endpoint):
                    if fault.times == 1:
                        del self._faults[index]
                    elif fault.times is not None:
                        self._faults[index] = msgspec.structs.replace(fault, times=fault.times - 1)
                    return fault
        return None
