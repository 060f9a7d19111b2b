"""Topic names and filters (MQTT 5 section 4.7): what is well formed, and which filter matches which name."""

from functools import lru_cache

_SHARE = "$share/"


def is_name(topic: str) -> bool:
    """May a message be published under this name?"""
    return bool(topic) and "+" not in topic and "#" not in topic and "\0" not in topic


def is_filter(wanted: str) -> bool:
    """May this be subscribed to? (`$share/GROUP/` already taken off.)"""
    levels = wanted.split("/")
    if not wanted or "\0" in wanted:
        return False
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]


def split_share(wanted: str) -> tuple[str | None, str]:
    """`$share/GROUP/FILTER` as (GROUP, FILTER), any other filter as (None, filter); bad ones have an empty part."""
    if not wanted.startswith(_SHARE):
        return None, wanted
    group, _, rest = wanted.removeprefix(_SHARE).partition("/")
    return (group, rest) if is_name(group) else (group, "")


def matches(wanted: str, topic: str) -> bool:
    """Does a message published as `topic` belong to the filter `wanted`?"""
    if "+" in wanted or "#" in wanted:
        return _levels_match(wanted, topic)
    return wanted == topic


@lru_cache(maxsize=8192)
def _levels_match(wanted: str, topic: str) -> bool:
    if topic.startswith("$") and wanted[0] in "+#":
        return False
    names = topic.split("/")
    levels = wanted.split("/")
    for at, level in enumerate(levels):
        if level == "#":
            return True
        if at >= len(names) or level not in ("+", names[at]):
            return False
    return len(levels) == len(names)
