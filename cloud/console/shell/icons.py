"""The console's icons: one drawing each, in the colour of the text around it. No file, no font, no address."""

from markupsafe import Markup

_DRAWN = {
    "now": "M3 12h4l3-8 4 16 3-8h4",
    "machines": "M6 3h12v18H6zM9 7h6M9 11h6v5H9zM12 18.500v.01",
    "orders": "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
    "claims": "M4 5h16v11H9l-5 4zM12 8v3M12 13.500v.01",
    "money": "M9 21V4h5a4.500 4.500 0 0 1 0 9H7M7 17h7",
    "charts": "M4 20V4M4 20h16M8 16v-4M12 16V8M16 16v-6",
    "settings": "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4M4 12h3M11 12h9M9 10v4",
    "people": "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c0-4 3-6 6.500-6s6.500 2 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6M18 14.500c2.300.8 3.500 2.700 3.500 5.500",  # noqa: E501
    "journal": "M5 4h12a2 2 0 0 1 2 2v14H7a2 2 0 0 1-2-2zM9 8h6M9 12h6",
    "alerts": "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
    "enrolment": "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM18 14h2M14 18v2",
    "releases": "M12 3v11M7.500 9.500 12 14l4.500-4.500M4 16v4h16v-4",
    "account": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4.500 3.500-7 8-7s8 2.500 8 7",
    "search": "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 21 21",
    "more": "M4 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0M18 12a1 1 0 1 0 2 0 1 1 0 1 0-2 0",
    "good": "M4 12.500l5 5L20 6.500",
    "bad": "M12 4 2.500 20h19zM12 10v4M12 17v.01",
    "undo": "M8 5 4 9l4 4M4 9h10a6 6 0 0 1 0 12h-4",
    "plus": "M12 5v14M5 12h14",
    "next": "M9 5l7 7-7 7",
    "cup": "M5 8h12v7a5 5 0 0 1-5 5h-2a5 5 0 0 1-5-5zM17 10h2a2.500 2.500 0 0 1 0 5h-2M9 2v2M13 2v2",
}


def icon(name: str) -> Markup:
    """One icon, silent for screen readers: words stand beside it."""
    return Markup(
        '<svg class="icon" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false">'
        '<path d="{}"/></svg>'
    ).format(_DRAWN[name])
