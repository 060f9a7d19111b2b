"""What `fleet.toml` may say, and that every mistake is told at once, with its line and key, and without secrets."""

from datetime import date
from pathlib import Path

import pytest

from cloud.fleet.fleet_file import FleetFile, FleetFileError, read_fleet
from tests.cloud.fleet.fleet_texts import AMERICANO, DEVICE, ENVIRON, FLEET, LATTE, MERCHANT, line_of, with_line


def read(text: str) -> FleetFile:
    file = read_fleet(text, ENVIRON)
    file.refuse_if_wrong()
    return file


def problems(text: str) -> list[str]:
    with pytest.raises(FleetFileError) as refused:
        read(text)
    return refused.value.problems


def test_the_file_of_the_contract_is_understood() -> None:
    file = read(FLEET)
    assert file.merchants["north"]["valid_until"] == date(2030, 12, 31)
    [account] = file.accounts
    assert (account.scenario, account.secret) == ("Yookassa", "live_northern-secret")
    [device] = file.devices
    assert device.values["merchant_id"] == "north"
    assert [drink.drink_no for drink in device.drinks] == ["americano", "latte"]
    prices = {"price_small": None, "price_medium": 21900, "price_large": None}
    assert device.drinks[1].values == {"name": "Латте", "receipt": None} | prices
    assert not file.warnings


def test_notes_come_out_cleaned() -> None:
    text = with_line(
        FLEET, 'status = "active"', "status = \"active\"\nclient_info = '<script>alert(1)</script><b>Да</b>'"
    )
    assert read(text).devices[0].values["client_info"] == "<b>Да</b>"


WRONG = [
    ('id = "north"', 'id = "на севере"', "merchant.id"),
    ('name = "ООО Север"', 'name = ""', "merchant.name"),
    ('name = "ООО Север"', 'name = "   "', "merchant.name"),
    ('name = "ООО Север"', f'name = "{"я" * 256}"', "merchant.name"),
    ('contact_email = "ops@example.org"', 'contact_email = "ops"', "merchant.contact_email"),
    ("valid_until = 2030-12-31", 'valid_until = "2030-12-31"', "merchant.valid_until"),
    ("valid_until = 2030-12-31", "valid_until = 2030-12-31T00:00:00Z", "merchant.valid_until"),
    ("valid_until = 2030-12-31", "valid_until = 0001-01-01", "merchant.valid_until"),
    ("valid_until = 2030-12-31", "valid_until = 2101-01-01", "merchant.valid_until"),
    ('account_id = "100500"', "account_id = 100500", "merchant.payment.Yookassa.account_id"),
    ('account_id = "100500"', 'account_id = "100:500"', "merchant.payment.Yookassa.account_id"),
    ('secret_key = "env:NORTH_YOOKASSA_KEY"', 'secret_key = "env:SOUTH"', "merchant.payment.Yookassa.secret_key"),
    ('secret_key = "env:NORTH_YOOKASSA_KEY"', 'secret_key = "file:gone"', "merchant.payment.Yookassa.secret_key"),
    ('secret_key = "env:NORTH_YOOKASSA_KEY"', "secret_key = 5", "merchant.payment.Yookassa.secret_key"),
    ('capture = "on_dispense"', 'capture = "later"', "merchant.payment.Yookassa.capture"),
    ('status_check = "polling"', "status_check = true", "merchant.payment.Yookassa.status_check"),
    ('device_uuid = "m-001"', 'device_uuid = "m/001"', "device.device_uuid"),
    ('device_uuid = "m-001"', f'device_uuid = "{"m" * 65}"', "device.device_uuid"),
    ('device_uuid = "m-001"', "device_uuid = 1", "device.device_uuid"),
    ('location = "Невский 1, 2 этаж"', 'location = "\\n"', "device.location"),
    ('payment_scenario = "Yookassa"', 'payment_scenario = "Yookasa"', "device.payment_scenario"),
    ('control = "agent"', 'control = "remote"', "device.control"),
    ('status = "active"', 'status = "open"', "device.status"),
    ('status = "active"', 'qr = "maybe"', "device.qr"),
    ('status = "active"', "qr_key_version = 0", "device.qr_key_version"),
    ('status = "active"', "qr_key_version = true", "device.qr_key_version"),
    ("https://example.org/logo.svg", "javascript:alert(1)", "device.logo_url"),
    ("https://example.org/logo.svg", "https://", "device.logo_url"),
    ("https://example.org/logo.svg", "https://[::1/logo", "device.logo_url"),
    ("https://example.org/logo.svg", "https://example.org/a b", "device.logo_url"),
    ("client_info_make_failed = ", "client_info_make_failed = 1 #", "device.client_info_make_failed"),
    ('drink_no = "americano"', 'drink_no = ""', "device.drink.drink_no"),
    ('drink_no = "americano"', "drink_no = 1", "device.drink.drink_no"),
    ('drink_no = "americano"', f'drink_no = "{"d" * 129}"', "device.drink.drink_no"),
    ('name = "Американо"', "name = []", "device.drink.name"),
    ("small = 14900", "small = 149.00", "device.drink.prices.small"),
    ("small = 14900", "small = 99", "device.drink.prices.small"),
    ("small = 14900", "small = 35000001", "device.drink.prices.small"),
    ("small = 14900", "small = true", "device.drink.prices.small"),
    ("small = 14900", 'small = "14900"', "device.drink.prices.small"),
    ("prices = { medium = 21900 }", "prices = {}", "device.drink.prices"),
    ("prices = { medium = 21900 }", "prices = 21900", "device.drink.prices"),
]


@pytest.mark.parametrize(("old", "new", "key"), WRONG)
def test_a_wrong_value_is_told_with_its_line_and_key(old: str, new: str, key: str) -> None:
    text = with_line(FLEET, old, new)
    [problem] = problems(text)
    assert problem.startswith(f"line {line_of(text, new)}, {key}: ")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = FLEET
    chosen = [WRONG[2], WRONG[7], WRONG[14], WRONG[19], WRONG[26], WRONG[31]]
    for old, new, _ in chosen:
        text = with_line(text, old, new)
    found = problems(text)
    assert [problem.split(": ")[0].split(", ")[1] for problem in found] == [key for _, _, key in chosen]


@pytest.mark.parametrize(
    ("old", "new", "guess"),
    [
        ('contact_email = "', 'contact_mail = "', "contact_email"),
        ('capture = "', 'captur = "', "capture"),
        ('location = "', 'Location = "', "location"),
        ("client_info_make_failed = ", "client_info_makefailed = ", "client_info_make_failed"),
        ("large = 19900", "lagre = 19900", "large"),
    ],
)
def test_an_unknown_key_is_refused_with_a_guess(old: str, new: str, guess: str) -> None:
    text = with_line(FLEET, old, new)
    [problem] = problems(text)
    assert problem.startswith(f"line {line_of(text, new)}, ")
    assert f'did you mean "{guess}"?' in problem


def test_an_unknown_table_is_refused() -> None:
    assert 'did you mean "device"?' in problems(FLEET + "\n[[devices]]\n")[0]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        (FLEET + '\n[[merchant]]\nid = "north"\nname = "x"\n', 'id = "north"\nname = "x"'),
        (FLEET + DEVICE, None),
        (FLEET + AMERICANO, None),
    ],
)
def test_the_same_id_twice_is_refused(text: str, piece: str | None) -> None:
    [problem] = problems(text)
    assert "is already at line" in problem
    assert piece is None or problem.startswith(f"line {line_of(text, piece)}, merchant.id: ")


def test_two_devices_may_sell_the_same_drink() -> None:
    other = with_line(DEVICE, '"m-001"', '"m-002"')
    assert [len(device.drinks) for device in read(FLEET + other + AMERICANO).devices] == [2, 1]


@pytest.mark.parametrize("key", ["id = ", "name = ", "account_id = ", "secret_key = ", "merchant = ", "device_uuid = "])
def test_a_missing_key_is_told_at_its_table(key: str) -> None:
    text = with_line(FLEET, f"\n{key}", f"\n# {key}")
    assert any(f"{key.removesuffix(' = ')}: is missing" in problem for problem in problems(text))


def test_single_brackets_are_explained() -> None:
    [problem] = problems(with_line(MERCHANT, "[[merchant]]", "[merchant]"))
    assert "[[merchant]], with two brackets" in problem
    [problem] = problems(with_line(MERCHANT + DEVICE + LATTE, "[[device.drink]]", "[device.drink]"))
    assert "[[device.drink]], with two brackets" in problem


@pytest.mark.parametrize("payment", ["payment = 1", "payment.Yookassa = 1"])
def test_payments_that_are_no_tables_are_refused(payment: str) -> None:
    [problem] = problems(f'[[merchant]]\nid = "north"\nname = "Север"\n{payment}\n')
    assert problem.startswith("line 4, merchant.payment")


def test_what_is_no_toml_is_told_with_its_line() -> None:
    assert problems('[[merchant]]\nid = "north\n')[0].startswith("line 2, column ")
    assert problems('[[merchant]]\nid = """north\n')


@pytest.mark.parametrize(
    "text",
    [
        f"[[device]]\nlocation = {'[' * 5000}{']' * 5000}",
        f"[[device]]\nlocation = {'{a = ' * 5000}1{'}' * 5000}",
        f"[[device]]\nlocation.{'a.' * 5000}a = 1",
    ],
    ids=["lists", "tables", "dotted keys"],
)
def test_what_is_nested_without_end_is_refused_as_any_broken_file(text: str) -> None:
    assert problems(text) == ["it is nested too deep"]


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match=r"^gone\.toml is refused"):
        read_fleet(tmp_path / "gone.toml", ENVIRON)
    (tmp_path / "old.toml").write_bytes("name = 'Север'".encode("cp1251"))
    with pytest.raises(FleetFileError, match="UTF-8"):
        read_fleet(tmp_path / "old.toml", ENVIRON)


def test_a_file_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET, encoding="utf-8-sig")
    read_fleet(path, ENVIRON).refuse_if_wrong()


def test_a_secret_may_lie_in_a_file_beside_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("live_from-a-file\n")
    (tmp_path / "fleet.toml").write_text(with_line(FLEET, "env:NORTH_YOOKASSA_KEY", "file:key"), encoding="utf-8")
    file = read_fleet(tmp_path / "fleet.toml", {})
    file.refuse_if_wrong()
    assert file.accounts[0].secret == "live_from-a-file"
    assert not file.warnings


def test_a_plain_secret_is_taken_and_warned_about() -> None:
    text = with_line(FLEET, "env:NORTH_YOOKASSA_KEY", "live_plain-secret")
    file = read(text)
    assert file.accounts[0].secret == "live_plain-secret"
    [warning] = file.warnings
    assert warning.startswith(f"line {line_of(text, 'live_plain-secret')}, merchant.payment.Yookassa.secret_key: ")
    assert "live_plain" not in warning + repr(file)


@pytest.mark.parametrize("secret", ["live_with space", "live_ключ", "live_" + "x" * 500])
def test_a_secret_that_cannot_be_one_is_refused_without_showing_it(secret: str) -> None:
    [problem] = problems(with_line(FLEET, "env:NORTH_YOOKASSA_KEY", secret))
    assert "live_" not in problem
