"""What may go wrong at a merchant's server, and how often. Only decides; the server carries it out."""

from enum import StrEnum

from simulator.shell.faults import Switch


class Kind(StrEnum):
    """error_500, html, reset: no usable answer. unsigned, wrong_key, old_nonce: an answer nobody should believe.
    forbidden: our signature is refused. too_many: 429. wrong_amount: signed, and not what was agreed.
    slow: the right answer after `seconds`. drip: a byte at a time for `seconds`, and never whole.
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
    SLOW = "slow"
    DRIP = "drip"


class Where(StrEnum):
    """Which address it strikes."""

    STATUS = "status"
    ACTION = "action"


class Fault(Switch, frozen=True, forbid_unknown_fields=True):
    """One switch. `after`: the act is done, only its answer suffers."""

    kind: Kind
    where: Where = Where.STATUS
    after: bool = False

    def is_aimed_at(self, call: str) -> bool:
        """Whether a call of this name can be struck."""
        return self.where == call
