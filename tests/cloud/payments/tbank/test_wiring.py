"""T-Bank set up as a merchant does it: settings, `fleet.toml`, `coffee-cloud check`, a payment over the real app."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cloud.fleet.apply import apply
from cloud.operators import check
from cloud.payments.facts import ProviderStatus
from cloud.payments.outcomes import Ok
from cloud.payments.provider import CaptureMode, Shop
from cloud.payments.tbank.ledger_view import Booked, ledger_view_of
from cloud.processes.app import create_app
from cloud.settings import Settings, SettingsError
from cloud.wiring import build
from simulator.tbank import TBankSimulator
from simulator.tbank.faults import Fault, FaultKind
from simulator.tbank.terminals import DEFAULT_TERMINAL
from tests.cloud.worlds import ONE_STAGE, PRICE, SECRET_KEY, START, World

FLEET = """
[[merchant]]
id = "north"
name = "ООО Север"

[merchant.payment.TBank]
account_id = "1234567890123DEMO"
secret_key = "env:NORTH_TBANK_PASSWORD"
capture = "immediate"

[[device]]
device_uuid = "m-001"
merchant = "north"
payment_scenario = "TBank"

[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = { medium = 17900 }
"""


@pytest.fixture
def bank() -> Iterator[TBankSimulator]:
    with TBankSimulator(terminals=[DEFAULT_TERMINAL], clock=lambda: START, seed="wiring") as bank:
        yield bank


def settings_for(world: World, bank: TBankSimulator) -> Settings:
    url = world.database.engine.url.render_as_string(hide_password=False)
    return Settings(SECRET_KEY, database_url=url, tbank_url=bank.url, mqtt_url="mqtt://127.0.0.1:1")


def apply_fleet(world: World, password: str = DEFAULT_TERMINAL.password) -> None:
    apply(world.database, world.vault, FLEET, {"NORTH_TBANK_PASSWORD": password})


def test_the_real_bank_is_the_default() -> None:
    settings = Settings.from_env({"COFFEE_SECRET_KEY": SECRET_KEY})
    assert settings.tbank_url == "https://securepay.tinkoff.ru/v2"
    assert settings.tbank_rate == 10


@pytest.mark.parametrize("wrong", [{"COFFEE_TBANK_URL": "ftp://bank"}, {"COFFEE_TBANK_RATE": "0"}], ids=str)
def test_wrong_settings_are_told(wrong: dict[str, str]) -> None:
    [name] = wrong
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({"COFFEE_SECRET_KEY": SECRET_KEY} | wrong)


def test_a_merchant_sets_up_a_terminal_and_buys_through_it(sqlite_world: World, bank: TBankSimulator) -> None:
    apply_fleet(sqlite_world)
    cloud = build(settings_for(sqlite_world, bank), sqlite_world.clock)
    try:
        credential, client = cloud.clients.of("north", "TBank")
        assert "TBankClient" in repr(client)
        assert client.shop == Shop(DEFAULT_TERMINAL.key, DEFAULT_TERMINAL.password, CaptureMode.IMMEDIATE)
        assert credential.secret != DEFAULT_TERMINAL.password
        order_id = sqlite_world.scan()
        answer = create_app(cloud).test_client().post("/v1/initiate-payment", json={"order_id": order_id})
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["redirect_url"].startswith(f"{bank.address}/new/")
        payment = sqlite_world.payment(order_id)
        bank.pay(payment.provider_payment_id or "")
        told = client.fetch(payment.provider_payment_id or "")
        assert isinstance(told, Ok)
        assert (told.value.status, told.value.captured) == (ProviderStatus.SUCCEEDED, PRICE)
        assert told.value.metadata == {"payment": payment.id, "order_id": order_id}
        [(opened, _)] = bank.bank.snapshot()
        assert opened.notification_url == "http://127.0.0.1:8080/v1/tbank-webhook"
        assert opened.order_id == payment.id
    finally:
        cloud.close()


@pytest.mark.parametrize(
    ("password", "good", "words"),
    [
        (DEFAULT_TERMINAL.password, True, "the provider accepts the account (test shop)"),
        ("wrong", False, "the provider does not accept the account (AuthError)"),
    ],
)
def test_the_check_says_whether_the_terminal_is_accepted(
    sqlite_world: World, bank: TBankSimulator, password: str, good: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    apply_fleet(sqlite_world, password)
    found = [f for f in check.checkup(settings_for(sqlite_world, bank)) if f.words.startswith("north/TBank")]
    assert [(finding.good, finding.words) for finding in found] == [
        (good, f"north/TBank (shop {DEFAULT_TERMINAL.key}): {words}")
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (None, "the provider cannot be reached, so nobody was asked whether the key is right (NotSent)"),
        (FaultKind.HTML_502, "the provider gave no answer that can be read (Unknown)"),
    ],
)
def test_the_check_blames_no_key_that_nobody_was_asked_about(
    sqlite_world: World, bank: TBankSimulator, kind: FaultKind | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: without a way out, or a provider that was ill, a good key was said to be refused."""
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    apply_fleet(sqlite_world)
    settings = settings_for(sqlite_world, bank)
    if kind is None:
        settings = replace(settings, tbank_url="http://127.0.0.1:1/v2")
    else:
        bank.faults.add(Fault(kind, times=10))
    found = [f.words for f in check.checkup(settings) if f.words.startswith("north/TBank")]
    assert found == [f"north/TBank (shop {DEFAULT_TERMINAL.key}): {words}"]


def test_the_books_tell_a_payment_its_order_and_its_returns(sqlite_world: World) -> None:
    books = ledger_view_of(sqlite_world.database)
    assert books("nobody's", "700") is None
    order_id = sqlite_world.pay(account=ONE_STAGE)
    payment = sqlite_world.payment(order_id)
    assert books(payment.id, payment.provider_payment_id or "") == Booked(order_id, PRICE)
    sqlite_world.refunded(payment.id, "700-5000", 5000)
    sqlite_world.refunded(payment.id, "700-8000", 3000)
    booked = books(payment.id, payment.provider_payment_id or "")
    assert booked == Booked(order_id, PRICE, {"700-5000": 5000, "700-8000": 3000})
    assert booked.refunded == 8000
