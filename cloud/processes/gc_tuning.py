"""How Python looks for garbage in a program that serves for months: seldom, and never among what its start has made.

Left alone it looks through all of that again and again, tens of milliseconds each time, while a buyer waits.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000
"""New objects between two looks: most are long gone by themselves by then."""
MIDDLE, OLD = 10, 20


@contextmanager
def while_importing() -> Iterator[None]:
    """Nothing that modules bring is garbage, now or at the program's end: looking was a third of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def spare_what_stays() -> None:
    """Call it once everything is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
