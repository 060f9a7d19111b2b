"""What may go wrong at a merchant's server, and how often. Only decides; the server carries it out."""

import threading
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """error_500, html, reset: no usable answer. unsigned, wrong_key, old_nonce: an answer nobody should believe.
    forbidden: our signature is refused. too_many: 429. wrong_amount: signed, and not what was agreed.
    """

    ERROR_500 = "error_500"
    HTML = "html"
    RESET = "reset"
    UNSIGNED = "unsigned"
    WRONG_KEY = "wrong_key"
    OLD_NONCE = "old_nonce"
    FORBIDDEN = "forbidden"
    TOO_MANY = "too_many"
    WRONG_AMOUNT = "wrong_amount"


class Where(StrEnum):
    """Which address it strikes."""

    STATUS = "status"
    ACTION = "action"


@dataclass(frozen=True)
class Fault:
    """`after`: the act is done, only its answer suffers. `times`: how many calls it strikes."""

    kind: Kind
    where: Where = Where.STATUS
    after: bool = False
    times: int = 1


class FaultBoard:
    """The faults that are on. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, where: Where) -> Fault | None:
        """The fault this call suffers, used up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.where is where:
                    if fault.times <= 1:
                        del self._faults[index]
                    else:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    return fault
        return None
