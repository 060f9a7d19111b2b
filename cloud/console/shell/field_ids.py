"""Ids of a page's fields: several of its forms may have a field of one name, and each label must find its own."""

from collections import Counter

from flask import g


def field_id(name: str) -> str:
    """An id that this page has not had yet: `f-name`, then `f-name-2`, ...; for templates."""
    met: Counter[str] = g.setdefault("field_ids", Counter())
    met[name] += 1
    return f"f-{name}" if met[name] == 1 else f"f-{name}-{met[name]}"
