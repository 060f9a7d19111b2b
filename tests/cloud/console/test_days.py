"""A day that no zone or no database can hold is told to be none, wherever it is typed."""

import pytest

from tests.cloud.console.building import OWN, Console, post

PAGES = (
    "/console/orders?q={}",
    "/console/orders?q={} 12:40",
    "/console/money/days?day={}",
    "/console/charts?since={0}&until={0}",
    "/console/books?since={0}&until={0}",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_day_that_is_none_is_told_on_the_page(console_on_each: Console, page: str) -> None:
    client = console_on_each.client(f"owner@{OWN}")
    for day in ("0001-01-01", "1999-12-31", "2101-01-01", "9999-12-31", "2026-02-30"):
        shown = client.get(page.format(day))
        assert shown.status_code == 200, day
        assert f"<span>{day}: такой даты нет.</span>" in shown.text
    for day in ("2000-01-01", "2100-12-31"):
        shown = client.get(page.format(day))
        assert shown.status_code == 200, day
        assert "такой даты нет" not in shown.text


def test_a_contract_ends_on_a_day_that_is_one(console: Console) -> None:
    client, page = console.client("admin"), f"/console/settings/{OWN}"
    for day in ("0001-01-01", "1999-12-31", "2101-01-01", "9999-12-31"):
        shown = client.get(post(client, page, valid_until=day).location or "").text
        assert "дата, например 2030-12-31" in shown, day
    assert 'name="valid_until" value=""' in client.get(page).text
