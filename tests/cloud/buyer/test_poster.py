"""The poster that hangs on a machine: its code leads to the menu, and it reads the same on every printer."""

import re
import zlib

import pytest
import segno
from flask.testing import FlaskClient

from cloud.buyer.lettering import GLYPHS, letter
from cloud.buyer.poster import CODE, CODE_TOP, HEIGHT, WIDTH, Box, Shape, Stroke, draw
from cloud.buyer.texts import LANGUAGES, SENTENCES, Texts
from tests.cloud.buyer.orders import DEVICE, Orders

ADDRESS = "https://coffee.example.org/m/m-001"
PLACES = ["Невский проспект, 1, 2 этаж", "", "x" * 255, "ТРЦ «Ёж & Щука» (вход со двора), цокольный этаж, № 5"]


def shapes(location: str = PLACES[0]) -> list[Shape]:
    return draw(ADDRESS, location, "m-001", Texts("ru"))


def test_the_squares_are_those_of_the_code() -> None:
    matrix = [[bool(dark) for dark in row] for row in segno.make(ADDRESS, error="q", micro=False).matrix]
    unit = CODE / len(matrix)
    drawn = [[False] * len(matrix) for _ in matrix]
    for box in (shape for shape in shapes() if isinstance(shape, Box)):
        row, first = round((box.y - CODE_TOP) / unit), round((box.x - (WIDTH - CODE) / 2) / unit)
        for column in range(first, first + round(box.width / unit)):
            drawn[row][column] = True

    assert drawn == matrix


@pytest.mark.parametrize("location", PLACES)
def test_everything_stays_on_the_paper_and_off_the_code(location: str) -> None:
    quiet = 4 * CODE / len(segno.make(ADDRESS, error="q", micro=False).matrix)
    left, right = (WIDTH - CODE) / 2 - quiet, (WIDTH + CODE) / 2 + quiet
    for stroke in (shape for shape in shapes(location) if isinstance(shape, Stroke)):
        xs = [value for _, values in stroke.segments for value in values[::2]]
        ys = [value for _, values in stroke.segments for value in values[1::2]]
        assert 5 < min(xs) <= max(xs) < WIDTH - 5
        assert 5 < min(ys) <= max(ys) < HEIGHT - 5
        beside = max(ys) < CODE_TOP - quiet or min(ys) > CODE_TOP + CODE + quiet
        assert beside or max(xs) < left or min(xs) > right


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_letter_of_our_own_words_is_there(language: str) -> None:
    words = [text for key, text in SENTENCES[language].items() if key.startswith("poster.")]  # type: ignore[index]

    assert len(words) == 4
    assert not {char for text in words for char in text.upper()} - GLYPHS.keys() - {" "}


def test_a_letter_nobody_drew_leaves_a_gap() -> None:
    assert letter("A\u4e2dB", 6).width > letter("AB", 6).width
    assert letter("\u4e2d", 6).strokes == ()


def test_the_svg_is_a_page(client: FlaskClient, orders: Orders) -> None:
    response = client.get(f"/m/{DEVICE}/poster.svg")

    assert response.mimetype == "image/svg+xml"
    assert response.text.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="210mm"')
    assert "<text" not in response.text
    assert "<script" not in response.text


def test_the_pdf_is_one_sound_page_without_fonts(client: FlaskClient, orders: Orders) -> None:
    response = client.get(f"/m/{DEVICE}/poster.pdf?lang=en")
    body = response.data

    assert response.mimetype == "application/pdf"
    assert body.startswith(b"%PDF-1.4")
    assert b"/Font" not in body
    table = int(re.search(rb"startxref\n(\d+)\n%%EOF", body)[1])  # type: ignore[index]  # or it fails here
    assert body[table:].startswith(b"xref\n0 5\n")
    for number, place in enumerate(re.findall(rb"(\d{10}) 00000 n ", body[table:]), 1):
        assert body[int(place) :].startswith(b"%d 0 obj" % number)
    [packed] = re.findall(rb"stream\n(.*)\nendstream", body, re.DOTALL)
    assert f"/Length {len(packed)}".encode() in body
    assert zlib.decompress(packed).count(b" re f\n") > 100


def test_a_machine_nobody_knows_has_no_poster(client: FlaskClient, orders: Orders) -> None:
    assert client.get("/m/nobody/poster.pdf").status_code == 404
    assert client.get(f"/m/{DEVICE}/poster.gif").status_code == 404
