"""What the replies of all providers say alike: JSON, and how long to wait. Pure."""

from cloud.payments.transport import Reply
from protocol import json_text

LONGEST_RETRY_AFTER_S = 3600.0
"""What a broken or malicious provider can ask of us at most."""


def json_of(reply: Reply) -> object:
    """The decoded body; None (which is also JSON's null) when there is nothing to read."""
    try:
        return json_text.loads(reply.body) if reply.body else None
    except json_text.NotJson:
        return None


def retry_after_s(reply: Reply) -> float | None:
    """The Retry-After header in its number form; the date form is not worth a clock."""
    told = reply.retry_after
    if told is None or not told.isascii() or not told.isdigit() or len(told) > 9:
        return None
    return min(float(told), LONGEST_RETRY_AFTER_S)
