"""The console's own files: addresses that name the content, so that a browser may keep them for ever."""

import hashlib
from functools import cache
from pathlib import Path

from flask import url_for

FOLDER = Path(__file__).parents[1] / "static"


def asset(name: str) -> str:
    """The address of one file of `console/static/`."""
    return url_for("console.static", filename=name, v=_fingerprint(name))


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]
