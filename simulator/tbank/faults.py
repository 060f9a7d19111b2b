"""The fault switches: what may go wrong between the merchant and the bank, where, how often, before or after the act.

Only decides which fault strikes a call; the API carries it out.
"""

import threading
from collections.abc import Callable
from enum import StrEnum

import msgspec

MAX_FAULTS = 100
MAX_SECONDS = 120.0  # a hang holds a server thread


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


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One switch. `after_commit`: the act is done, only its answer suffers. `times` None: until switched off."""

    kind: FaultKind
    method: Method = Method.ANY
    after_commit: bool = False
    times: int | None = 1
    probability: float = 1.0
    seconds: float = 35.0
    retry_after: int = 2

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1, or null")
        if not 0 < self.probability <= 1:
            raise ValueError("probability is above 0 and at most 1")
        if not 0 <= self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds is from 0 to {MAX_SECONDS:g}")


class FaultBoard:
    """The switches now on; the first that fits a call and is drawn strikes it. Thread-safe."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
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

    def strike(self, method: Method) -> Fault | None:
        """The fault this call suffers, used up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.method not in (Method.ANY, method) or self._chance() >= fault.probability:
                    continue
                left = None if fault.times is None else fault.times - 1
                if left == 0:
                    del self._faults[index]
                else:
                    self._faults[index] = msgspec.structs.replace(fault, times=left)
                return fault
        return None
