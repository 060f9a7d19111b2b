"""What a request tells in its body: the fields of a JSON object or of a form. Whatever cannot be read tells nothing."""

from collections.abc import Mapping

from flask import Request

from protocol import json_text


def told_in(asked: Request) -> Mapping[str, object]:
    """The fields by name; none when the body is neither, or is no object. One that is too large raises Flask's 413."""
    if not asked.is_json:
        return asked.form.to_dict()
    try:
        told = json_text.loads(asked.get_data())
    except json_text.NotJson:
        return {}
    return told if isinstance(told, dict) else {}
