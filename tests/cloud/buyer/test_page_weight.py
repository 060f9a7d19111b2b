"""What a page weighs, what it asks for, and what browsers may do with it."""

import base64
import gzip
import hashlib
import re

import pytest
from flask.testing import FlaskClient

from tests.cloud.buyer.orders import Orders
from tests.cloud.buyer.states import NOTE, STATES
from tests.cloud.buyer.test_status_page import STYLE, Elements, page, static_file

FIRST_WINDOW = 14_000
"""Bytes a server may send before the first acknowledgement: one round trip to the whole page."""


def test_the_whole_page_is_light(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(client_info_make_failed=NOTE)
    html = client.get(f"/v1/order-status-page?order_id={orders.make_failed()}").text
    parts = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)

    weight = len(html.encode()) + sum(len(static_file(client, part)[1]) for part in set(parts))

    assert len(set(parts)) >= 2
    assert weight < 60_000


@pytest.mark.parametrize("state", STATES)
def test_all_that_a_page_asks_for_comes_from_us(client: FlaskClient, orders: Orders, state: str) -> None:
    html = client.get("/v1/order-status-page", query_string={"order_id": STATES[state](orders)}).text
    asked = [
        str(address)
        for tag, attributes in Elements(html).found
        for name, address in attributes.items()
        if name in {"src", "srcset", "poster", "data"} or (tag == "link" and name == "href")
    ]

    assert asked
    assert all(address.startswith("/static/buyer/") for address in asked)
    assert "@import" not in html
    assert "url(" not in "".join(STYLE.findall(html))


def test_a_page_is_squeezed_for_slow_lines(client: FlaskClient, orders: Orders) -> None:
    address = f"/v1/order-status-page?order_id={orders.making()}"
    plain, small = client.get(address), client.get(address, headers={"Accept-Encoding": "gzip"})

    assert gzip.decompress(small.data) == plain.data
    assert small.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert len(small.data) < FIRST_WINDOW


def test_styles_and_scripts_are_kept_and_pages_are_not(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.created())
    script = next(attributes["src"] for attributes in Elements(html).all("script"))
    assert script is not None

    assert "immutable" in static_file(client, script)[0]["Cache-Control"]
    answer = client.get("/v1/order-status-page", query_string={"order_id": "o-1"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Accept-Language" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("file", "status"), [("order.js?v=000000000000", 200), ("order.js?v=", 200), ("gone.js?v=000000000000", 404)]
)
def test_only_what_its_address_names_is_kept(client: FlaskClient, orders: Orders, file: str, status: int) -> None:
    """Regression: what another version of us was asked for, or was not there, was kept for a year."""
    with client.get(f"/static/buyer/{file}") as answer:
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] in {"no-cache", "no-store"}


def test_browsers_are_told_to_run_only_our_own(client: FlaskClient, orders: Orders) -> None:
    answer = client.get(f"/v1/order-status-page?order_id={orders.created()}")
    policy = answer.headers["Content-Security-Policy"]
    [its_style] = STYLE.findall(answer.text)

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    known = base64.b64encode(hashlib.sha256(its_style.encode()).digest()).decode()
    assert f"style-src 'sha256-{known}';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
