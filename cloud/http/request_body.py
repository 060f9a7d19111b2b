"""The fields of a request's body: of a JSON object or of a form. A body that cannot be read has none."""

from collections.abc import Mapping

from flask import Request

from protocol import json_text


def body_fields(asked: Request) -> Mapping[str, object]:
    """Return the fields by name: none where the body is neither or is no object. One too large raises Flask's 413."""
    if not asked.is_json:
        return asked.form.to_dict()
    try:
        body = json_text.loads(asked.get_data())
    except json_text.NotJson:
        return {}
    return body if isinstance(body, dict) else {}
