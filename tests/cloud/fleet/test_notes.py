"""The merchant's notes: formatting stays, anything active goes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet.file_fields import Wrong, note
from cloud.fleet.notes import MAX_NOTE, clean, clean_whole

ACTIVE = re.compile(r"<script|<img|<iframe|<svg|<style|<form|\son\w+\s*=|javascript:|data:", re.IGNORECASE)
HTML_PIECES = st.sampled_from(
    [
        *"<>&\"'/= a",
        "<a href='",
        "https://e.org",
        "javascript:x",
        "<b>",
        "</b>",
        "<script>",
        "</script>",
        "<img onerror=x",
        "<p>",
        "</p>",
        "<ul><li>",
        "&amp;",
        "&lt;",
        "<!--",
        "-->",
        "<svg>",
        "<math>",
        "<style>",
        "привет",
        "\n",
    ]
)


def test_links_and_simple_formatting_stay() -> None:
    note = '<p>Звоните <a href="tel:+78120000000">нам</a>, <b>мы</b> <i>рядом</i></p><ul><li>раз</li></ul>'

    cleaned = clean(note)

    assert 'href="tel:+78120000000"' in cleaned
    assert 'rel="noopener noreferrer"' in cleaned
    for kept in ("<p>", "<b>мы</b>", "<i>рядом</i>", "<ul><li>раз</li></ul>"):
        assert kept in cleaned


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" JaVaScRiPt:alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        '<b onclick="alert(1)">x</b>',
        '<p style="position:fixed">x</p>',
        "<style>*{display:none}</style>",
        "<iframe src=https://e.org></iframe>",
        "<form action=https://e.org><input name=card></form>",
        "<svg><script>alert(1)</script></svg>",
    ],
)
def test_anything_active_is_stripped(attack: str) -> None:
    cleaned = clean(f"before {attack} after")

    assert cleaned.startswith("before")
    assert cleaned.endswith("after")
    assert not ACTIVE.search(cleaned)
    assert "style" not in cleaned
    assert "alert" not in cleaned


@pytest.mark.parametrize("address", ["/v1/orders/o-1/make", "//e.org", "http://e.org", "ftp://e.org", "e.org"])
def test_a_link_leads_only_where_it_says_it_leads(address: str) -> None:
    assert "href" not in clean(f'<a href="{address}">x</a>')


@given(st.lists(HTML_PIECES, max_size=40).map("".join))
def test_what_is_clean_stays_as_it_is(html: str) -> None:
    cleaned = clean(html)

    assert clean(cleaned) == cleaned
    assert not re.search(r"<(?!/?(p|br|b|strong|i|em|u|ul|ol|li|a)\b)", cleaned)


@pytest.mark.parametrize("piece", ["&", "<b>", '<a href="https://e.org">x</a>', "ж", "<p>"])
def test_a_note_is_never_longer_than_a_note(piece: str) -> None:
    cleaned = clean(piece * 5000)

    assert len(cleaned) <= MAX_NOTE
    assert clean(cleaned) == cleaned


def test_a_note_that_grows_too_long_is_refused_and_not_cut() -> None:
    """Regression: its last words were gone, and the page said "saved"."""
    whole = "А & Б " * 500 + "КОНЕЦ"
    assert len(whole) < MAX_NOTE < len(clean_whole(whole))
    with pytest.raises(Wrong, match=f"at most {MAX_NOTE}"):
        note(whole)
    assert str(note(whole.replace("&", "и"))).endswith("КОНЕЦ")


def test_nothing_is_nothing() -> None:
    assert clean("") == ""
