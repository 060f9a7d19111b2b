"""How many words of its machine an order's history takes in: it only grows, and a stolen machine never ends. Pure."""

from cloud.orders.states import Event, Status, next_state

MOST_WORDS = 20
"""Of one order. An honest machine says three or four: that it has taken it, what became of it, what it found out."""


def is_always_written(status: Status, event: Event, revision: int, *, uncertain: bool) -> bool:
    """What moves the order, ends its doubt or says that it was poured; and revision 1, at which two words can come."""
    after = next_state(status, event)
    moves = after is not None and (after is not status or uncertain)
    return moves or event is Event.MACHINE_DONE or revision == 1
