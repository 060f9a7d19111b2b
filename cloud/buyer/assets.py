"""The buyer's own style, script and pictures: addresses that name the content, and the style that pages bring along."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup

from cloud.http.own_files import OwnFiles

FOLDER = Path(__file__).parent / "static"
FILES = OwnFiles("buyer.static", FOLDER)
asset = FILES.address


@cache
def style() -> Markup:
    """The style sheet without what only its writers need, for a `<style>` element."""
    css = re.sub(r"/\*.*?\*/", "", (FOLDER / "buyer.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    css = re.sub(r"\s+", " ", css)
    return Markup(re.sub(r" ?([{};,]) ?", r"\1", css).strip())  # noqa: S704  # our own file


@cache
def style_hash() -> str:
    """What a content policy must name to allow exactly this style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
