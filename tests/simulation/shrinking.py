"""From a world that breaks a promise to the few faults it needs for that: halves are left out, then single ones."""

from collections.abc import Callable, Sequence

from tests.simulation.told import Told
from tests.simulation.workshop import Workshop

MOST_TRIES = 400


def shrink(workshop: Workshop, told: Told, tries: int = MOST_TRIES) -> Told:
    """The same seed with as few faults as still break the same promise."""
    wanted = told.broken[0].number
    best = told

    def still_breaks(names: Sequence[str]) -> bool:
        nonlocal best
        again = workshop.tell(told.seed, frozenset(names))
        found = any(broken.number == wanted for broken in again.broken)
        if found:
            best = again
        return found

    fewest(list(told.struck), still_breaks, tries)
    return best


def fewest(names: list[str], still_breaks: Callable[[Sequence[str]], bool], tries: int) -> list[str]:
    """A subset from which nothing can be left out, as far as the tries go (delta debugging)."""
    pieces = 2
    while names and tries > 0:
        size = max(1, len(names) // pieces)
        for start in range(0, len(names), size):
            without = names[:start] + names[start + size :]
            tries -= 1
            if still_breaks(without):
                names, pieces = without, max(2, pieces - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            pieces = min(len(names), pieces * 2)
    return names
