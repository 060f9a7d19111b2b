"""`fleet.toml` on fiscal receipts: `[merchant.payment.YookassaReceipt]`, and where a drink differs."""

import pytest

from cloud.database.database import Database
from cloud.fleet import editing
from cloud.fleet.apply import Did, Report, apply
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.models import Credential, Drink
from cloud.fleet.vault import Vault
from tests.cloud.fleet.fleet_texts import ENVIRON, FLEET, line_of, with_line
from tests.cloud.worlds import SECRET_KEY, START

RECEIPT = 'receipt = { vat_code = 1, payment_subject = "commodity", tax_system_code = 2, internet = false }\n'
WITH_RECEIPT = with_line(FLEET, 'payment_scenario = "Yookassa"', 'payment_scenario = "YookassaReceipt"')
HEADER = "[merchant.payment.Yookassa]        # scenario\n"
FISCAL = with_line(WITH_RECEIPT, HEADER, "[merchant.payment.YookassaReceipt]\n" + RECEIPT)
LATTE = 'name = "Латте"\n'


@pytest.fixture
def database(migrated_sqlite: Database) -> Database:
    return migrated_sqlite


def applied(database: Database, text: str, by_hand: ByHand = ByHand.REFUSE) -> Report:
    return apply(database, Vault(SECRET_KEY), text, ENVIRON, by_hand=by_hand)


def problems(database: Database, text: str) -> list[str]:
    with pytest.raises(FleetFileError) as refused:
        applied(database, text)
    return refused.value.problems


def test_a_merchants_receipt_and_where_a_drink_differs_are_stored(database: Database) -> None:
    drink = with_line(FISCAL, LATTE, LATTE + "receipt = { vat_code = 11, timezone = 3 }\n")
    applied(database, drink)
    with database.read() as session:
        credential = session.get_one(Credential, ("north", "YookassaReceipt"))
        assert credential.receipt == {
            "vat_code": 1, "payment_subject": "commodity", "tax_system_code": 2, "internet": False,
        }  # fmt: skip
        assert session.get_one(Drink, ("m-001", "latte")).receipt == {"vat_code": 11, "timezone": 3}
        assert session.get_one(Drink, ("m-001", "americano")).receipt is None
    assert applied(database, drink).count(Did.CHANGED) == 0, "the same again changes nothing"


def test_what_a_drink_says_no_more_is_the_merchants_word_again(database: Database) -> None:
    applied(database, with_line(FISCAL, LATTE, LATTE + "receipt = { vat_code = 11 }\n"))
    report = applied(database, FISCAL)
    [changed] = [entry for entry in report.entries if entry.did is Did.CHANGED]
    assert (changed.name, changed.keys) == ("drink latte of device m-001", ("receipt",))
    with database.read() as session:
        assert session.get_one(Drink, ("m-001", "latte")).receipt is None


def test_a_changed_receipt_is_noticed_by_running_workers(database: Database) -> None:
    applied(database, FISCAL)
    report = applied(database, with_line(FISCAL, "vat_code = 1,", "vat_code = 4,"))
    assert [entry.keys for entry in report.entries if entry.did is Did.CHANGED] == [("receipt",)]
    with database.read() as session:
        assert session.get_one(Credential, ("north", "YookassaReceipt")).version == 2


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("vat_code = 1,", "vat_code = 0,", "merchant.payment.YookassaReceipt.receipt.vat_code"),
        ("vat_code = 1,", "vat_code = 13,", "merchant.payment.YookassaReceipt.receipt.vat_code"),
        ("vat_code = 1,", 'vat_code = "1",', "merchant.payment.YookassaReceipt.receipt.vat_code"),
        ("vat_code = 1,", "", "merchant.payment.YookassaReceipt.receipt.vat_code"),
        ('"commodity"', '"coffee"', "merchant.payment.YookassaReceipt.receipt.payment_subject"),
        ("tax_system_code = 2", "tax_system_code = 7", "merchant.payment.YookassaReceipt.receipt.tax_system_code"),
        ("internet = false", 'internet = "no"', "merchant.payment.YookassaReceipt.receipt.internet"),
        ("internet = false", "timezone = 12", "merchant.payment.YookassaReceipt.receipt.timezone"),
        ("internet = false", 'measure = "cup"', "merchant.payment.YookassaReceipt.receipt.measure"),
        ("internet = false", 'payment_mode = "later"', "merchant.payment.YookassaReceipt.receipt.payment_mode"),
        ("internet = false", 'email = "maybe"', "merchant.payment.YookassaReceipt.receipt.email"),
        ("internet = false", "vat = 1", "merchant.payment.YookassaReceipt.receipt.vat"),
        (RECEIPT, "", "merchant.payment.YookassaReceipt.receipt"),
        (RECEIPT, "receipt = 1\n", "merchant.payment.YookassaReceipt.receipt"),
        (LATTE, LATTE + "receipt = { vat_code = 13 }\n", "device.drink.receipt.vat_code"),
        (LATTE, LATTE + 'receipt = { email = "optional" }\n', "device.drink.receipt.email"),
        (LATTE, LATTE + "receipt = 11\n", "device.drink.receipt"),
    ],
)
def test_a_mistake_is_refused_by_its_line_and_key(database: Database, old: str, new: str, key: str) -> None:
    [problem] = problems(database, with_line(FISCAL, old, new))
    assert problem.split(": ")[0].split(", ")[1] == key


def test_a_mistake_in_a_receipt_is_told_with_its_line(database: Database) -> None:
    text = with_line(FISCAL, "vat_code = 1,", "vat_code = 13,")
    assert problems(database, text) == [
        f"line {line_of(text, 'receipt = {')}, merchant.payment.YookassaReceipt.receipt.vat_code:"
        " must be a whole number from 1 to 12, not 13"
    ]


def test_an_account_that_sends_no_receipts_has_nothing_to_say_on_them(database: Database) -> None:
    text = with_line(FLEET, 'capture = "on_dispense"', RECEIPT + 'capture = "on_dispense"')
    [problem] = problems(database, text)
    assert "merchant.payment.Yookassa.receipt: is no key of ours" in problem


def test_receipts_without_a_buyers_address_need_the_merchants(database: Database) -> None:
    optional = with_line(FISCAL, "internet = false", 'email = "optional"')
    nobody = with_line(optional, 'contact_email = "ops@example.org"\n', "")
    [problem] = problems(database, nobody)
    assert "contact_email" in problem
    applied(database, optional)
    assert applied(database, nobody).warnings == (), "the address stored before still stands"


def test_a_merchant_nobody_can_write_to_is_warned(database: Database) -> None:
    [warning] = applied(database, with_line(FISCAL, 'contact_email = "ops@example.org"\n', "")).warnings
    assert "contact_email" in warning


UNREACHABLE = pytest.mark.parametrize("address", ["ops@кофе.рф", "почта@example.org", "ops@localhost"])


@UNREACHABLE
def test_an_address_no_receipt_can_be_sent_to_counts_as_none(database: Database, address: str) -> None:
    """Regression: `apply` was content, and each buyer who left the field empty was told that he cannot pay."""
    unreachable = with_line(FISCAL, "ops@example.org", address)
    [problem] = problems(database, with_line(unreachable, "internet = false", 'email = "optional"'))
    assert address in problem
    [warning] = applied(database, unreachable).warnings
    assert address in warning


@UNREACHABLE
def test_a_file_of_the_address_alone_minds_the_receipts_of_accounts_it_does_not_name(
    database: Database, address: str
) -> None:
    applied(database, with_line(FISCAL, "internet = false", 'email = "optional"'))
    alone = f'[[merchant]]\nid = "north"\nname = "Север"\ncontact_email = "{address}"\n'
    [problem] = problems(database, alone)
    assert problem.startswith("line 4, merchant.contact_email: ")
    applied(database, with_line(alone, address, "cafe@example.org"))


@pytest.mark.parametrize("address", ["ops@кофе.рф", ""])
def test_nor_is_such_an_address_set_by_hand(database: Database, address: str) -> None:
    def by_hand(**wanted: str) -> editing.Changed:
        return database.transact(editing.change, editing.Thing("merchant", "north"), wanted, "Ann", START)

    applied(database, FISCAL)
    by_hand(contact_email=address)
    by_hand(contact_email="ops@example.org")
    applied(database, with_line(FISCAL, "internet = false", 'email = "optional"'), ByHand.TAKE_FILE)
    with pytest.raises(editing.NotTaken, match="receipts without a buyer's address"):
        by_hand(contact_email=address)
    assert by_hand(contact_email="cafe@example.org").after == {"contact_email": "cafe@example.org"}
