"""Fiscal receipts in the settings: the tax rate is chosen from words, never guessed; somebody can receive them."""

import re

import pytest

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Merchant
from tests.cloud.console.building import OWN, Console, post
from tests.cloud.console.test_settings_pages import OWNER, last, typed_into

WITH_RECEIPTS = f"/console/settings/{OWN}/keys/YookassaReceipt"


def receipt(console: Console) -> dict[str, object] | None:
    with console.cloud.database.read() as session:
        known = session.get(Credential, (OWN, "YookassaReceipt"))
        return None if known is None else known.receipt


@pytest.mark.parametrize("rate", [{}, {"vat_code": ""}, {"vat_code": "0"}, {"vat_code": "13"}], ids=str)
def test_the_tax_rate_of_receipts_is_chosen_by_a_person_and_never_guessed(
    console: Console, rate: dict[str, str]
) -> None:
    """Regression: the form had no such field, and "no VAT" was stored for whoever connected this way of paying."""
    client = console.client(OWNER)
    opened = client.get(WITH_RECEIPTS).text
    assert re.search(r'<select[^>]*name="vat_code" required><option value="" selected>Не выбрана<', opened)
    keys = {"account_id": "777", "secret_key": "live_key"}
    refused = post(client, WITH_RECEIPTS, **keys | rate)
    assert "Ставка НДС в чеках: нужно выбрать" in refused.text
    assert receipt(console) is None

    post(client, WITH_RECEIPTS, **keys, vat_code="11")
    assert receipt(console) == {"vat_code": 11}
    assert (last(console).after or {})["vat_code"] == 11
    assert ">22 %<" in client.get("/console/journal").text


def test_what_the_file_says_of_receipts_beside_the_rate_stays(console: Console) -> None:
    client = console.client(OWNER)
    post(client, WITH_RECEIPTS, account_id="777", secret_key="live_key", vat_code="11")
    whole = {"vat_code": 11, "tax_system_code": 2, "internet": False}

    def by_file(tx: Transaction) -> None:
        tx.session.get_one(Credential, (OWN, "YookassaReceipt")).receipt = whole

    console.cloud.database.transact(by_file)
    opened = typed_into(client.get(WITH_RECEIPTS).text, WITH_RECEIPTS)
    post(client, WITH_RECEIPTS, **opened | {"capture": "immediate", "vat_code": "7"})
    assert receipt(console) == whole | {"vat_code": 7}
    post(client, WITH_RECEIPTS, account_id="777", capture="immediate")
    assert receipt(console) == whole | {"vat_code": 7}, "no field, no change"


def test_the_address_that_receipts_go_to_is_not_emptied(console: Console) -> None:
    client = console.client(OWNER)
    post(client, f"/console/settings/{OWN}", contact_email="ops@example.org")
    post(client, WITH_RECEIPTS, account_id="777", secret_key="live_key", vat_code="11")

    def by_file(tx: Transaction) -> None:
        tx.session.get_one(Credential, (OWN, "YookassaReceipt")).receipt = {"vat_code": 11, "email": "optional"}

    console.cloud.database.transact(by_file)
    said = client.get(post(client, f"/console/settings/{OWN}", contact_email="").location or "").text
    assert "Почта для покупателей: адрес почты, на который дойдёт чек" in said
    with console.cloud.database.read() as session:
        assert session.get_one(Merchant, OWN).contact_email == "ops@example.org"
