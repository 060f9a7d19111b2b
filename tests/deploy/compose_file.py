"""compose.yaml read without a YAML library: the part of YAML it is written in, anchors and merges included."""

import re
from pathlib import Path
from typing import Any

Lines = list[tuple[int, str]]
Anchors = dict[str, Any]


def read(file: Path, variables: dict[str, str]) -> dict[str, Any]:
    """The whole file, `${NAME}` and `${NAME:?why}` replaced."""
    text = file.read_text(encoding="utf-8")
    return parse(re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: variables[found[1]], text))


def parse(text: str) -> dict[str, Any]:
    """Also what Compose itself prints of it."""
    kept = (re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in text.splitlines())
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in kept if line.strip()]
    found: dict[str, Any] = _node(lines, {})
    assert not lines
    return found


def _node(lines: Lines, anchors: Anchors) -> Any:
    """What stands at the indentation of the first line, taken off `lines`."""
    indent, first = lines[0]
    if first.startswith("- "):
        items = []
        while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
            words = [lines.pop(0)[1][2:]]
            while lines and lines[0][0] > indent:
                words.append(lines.pop(0)[1])
            items.append(_value(" ".join(words), anchors))
        return items
    found: dict[str, Any] = {}
    while lines and lines[0][0] == indent:
        key, _, rest = lines.pop(0)[1].partition(":")
        value = _below(rest.strip(), lines, indent, anchors)
        if key == "<<":
            found = {**value, **found}
        else:
            found[key.strip('"')] = value
    return found


def _below(rest: str, lines: Lines, indent: int, anchors: Anchors) -> Any:
    name = ""
    if rest.startswith("&"):
        name, _, rest = rest[1:].partition(" ")
    is_below = bool(lines) and (lines[0][0] > indent or (lines[0][0] == indent and lines[0][1].startswith("- ")))
    value = _value(rest, anchors) if rest else _node(lines, anchors) if is_below else None
    if name:
        anchors[name] = value
    return value


def _value(text: str, anchors: Anchors) -> Any:
    """A scalar, a reference, or a list or map on one line."""
    text = text.strip()
    if text.startswith("*"):
        return anchors[text[1:]]
    if text[:1] in "[{" and text[-1:] in "]}":
        parts = [part for part in re.findall(r'(?:"[^"]*"|[^,"])+', text[1:-1]) if part.strip()]
        if text[0] == "[":
            return [_value(part, anchors) for part in parts]
        return {key.strip(): _value(value, anchors) for key, _, value in (part.partition(":") for part in parts)}
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return {"true": True, "false": False, "null": None}.get(text, text)
