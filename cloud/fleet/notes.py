"""Cleans the merchant's notes for the buyer: links and simple formatting stay, anything active goes.

Used on the way into the database and again on the way out, so `clean(clean(x)) == clean(x)` must hold.
"""

import nh3

MAX_NOTE = 4000
"""Characters of a cleaned note: a phone screen or two; more is a mistake, not a note."""

_TAGS = {"p", "br", "b", "strong", "i", "em", "u", "ul", "ol", "li", "a"}
_SCHEMES = {"https", "tel", "mailto"}


def clean(html: str) -> str:
    """The note as it may be shown: harmless HTML of at most `MAX_NOTE` characters, "" for nothing."""
    rest = html[:MAX_NOTE]
    cleaned = clean_whole(rest)
    while len(cleaned) > MAX_NOTE:  # escaping makes text longer
        rest = rest[: len(rest) - max(1, (len(cleaned) - MAX_NOTE) // 8)]
        cleaned = clean_whole(rest)
    return cleaned


def clean_whole(html: str) -> str:
    """Harmless HTML, of any length."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}},
        attribute_filter=_kept,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
    ).strip()


def _kept(tag: str, attribute: str, value: str) -> str | None:
    """No relative links: a note must not lead to addresses of ours."""
    scheme = value.partition(":")[0].strip().lower()
    return value if attribute != "href" or scheme in _SCHEMES else None
