"""Errors of our own at one and the same piece of work: after a few it is a poison, and is put away. Pure."""

from collections import OrderedDict

POISON = 3
"""Failures of one kind at one command that make it one."""
REMEMBERED = 64


class Failures:
    """Counts them by command and kind of error."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def is_poison(self, command_id: str, error: Exception) -> bool:
        """Note one more; True when it has failed this way too often."""
        key = (command_id, type(error).__name__)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return self._counts[key] >= POISON
