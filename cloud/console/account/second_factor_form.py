"""What the page offers to an authenticator: a new secret, and the picture that carries it."""

import io
import re
from dataclasses import dataclass

import segno
from markupsafe import Markup

from cloud.access import second_factor


@dataclass(frozen=True)
class Offered:
    """A secret that nobody has yet."""

    secret: str
    picture: Markup

    @property
    def spelled(self) -> str:
        """In groups of four, to be typed."""
        return " ".join(re.findall(".{1,4}", self.secret))


def offer(email: str, secret: str = "") -> Offered:
    """A new secret, or the one that was offered before."""
    if not re.fullmatch(r"[A-Z2-7]{32}", secret):
        secret = second_factor.new_secret()
    drawn = io.BytesIO()
    segno.make(second_factor.address(secret, email), error="m").save(
        drawn, kind="svg", xmldecl=False, svgns=False, nl=False, border=2, omitsize=True, dark="#000", light="#fff"
    )
    return Offered(secret, Markup(drawn.getvalue().decode()))  # noqa: S704  # segno draws it, nobody writes into it
