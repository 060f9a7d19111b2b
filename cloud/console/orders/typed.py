"""What was typed into a form of an order's page and refused: the order's next page shows it once more."""

from flask import request, session

from cloud.console.shell.guard import FRAGMENT

TYPED = "typed"
MOST_BYTES = 2048
"""The longest answer in Cyrillic. A cookie holds it, and browsers drop one of more than four kilobytes."""


def keep(order_id: str, field: str, words: str) -> None:
    """For the next page of this order; cut where it is longer than a cookie holds."""
    session[TYPED] = [order_id, field, words.encode()[:MOST_BYTES].decode(errors="ignore")]


def take(order_id: str) -> dict[str, str]:
    """What was kept for this order, by field; gone with it. A page that renews itself takes nothing."""
    of, field, words = session.get(TYPED, ("", "", ""))
    if of != order_id or FRAGMENT in request.headers:
        return {}
    del session[TYPED]
    return {field: words}
