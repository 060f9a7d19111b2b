"""What is an address that a receipt can be sent to. Pure."""

import re

MAX_EMAIL = 254
"""The longest address mail can carry (RFC 5321)."""
_EMAIL = re.compile(
    r"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.)+[A-Za-z0-9-]{2,63}"
)
"""What browsers take for an address (HTML, `input type=email`), with a domain that can be somebody's."""


def is_email(text: str) -> bool:
    """Whether a receipt can be sent there, as far as can be told without sending."""
    return len(text) <= MAX_EMAIL and _EMAIL.fullmatch(text) is not None
