"""Addresses of the room's own style, script and pictures. An address names the content, so it may be kept for ever."""

import hashlib
from functools import cache
from pathlib import Path

from flask import url_for

FOLDER = Path(__file__).parent / "static"


def asset(name: str) -> str:
    """The address of one file of `static/`."""
    return url_for("buyer.static", filename=name, v=_fingerprint(name))


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]
