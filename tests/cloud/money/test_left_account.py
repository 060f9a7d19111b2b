"""A merchant's account is changed, or the key of our secrets, while money is on its way: nothing is lost sight of."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from cloud.fleet.apply import Report, apply
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.models import FormerCredential
from cloud.fleet.vault import Vault
from cloud.operators.rekey import rekey
from cloud.operators.unaskable import UNNAMED
from cloud.orders.at_risk import MoneyAtRisk, Next, each_at_risk, unsettled
from cloud.payments.provider import Shop
from cloud.payments.provider_clients import FRESH, ProviderClients
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.ledger_view import ShopKey
from cloud.payments.reconcile.nightly import CATCH_UP_DAYS, forget_left_accounts
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.status_poller import LEAST_PATIENCE_S
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud
from protocol.reasons import Result, Spout
from simulator.yookassa.behaviour import Behaviour
from tests.cloud.money.market import SOUTH_ACCOUNT, SOUTH_SECRET, Market
from tests.cloud.worlds import ACCOUNT, PRICE, SECRET_KEY, SHOP_SECRET

TOKEN = "a-token-of-our-own"
WRONG = {"Authorization": f"Bearer {TOKEN}x"}
BY_A_PROXY = {"X-Forwarded-For": "203.0.113.9"}
NEW_KEY = "the next key of thirty-two characters or more"
ACCOUNT_FILE = """
[[merchant]]
id = "north"
name = "ООО Север"
[merchant.payment.Yookassa]
account_id = "{account}"
secret_key = "{secret}"
"""


def moves_to(market: Market, account: str = SOUTH_ACCOUNT, secret: str = SOUTH_SECRET) -> Report:
    """The merchant's file names another shop from now on."""
    text = ACCOUNT_FILE.format(account=account, secret=secret)
    report = apply(market.database, market.world.vault, text, {}, unsettled_at=unsettled)
    market.clock.advance(FRESH.total_seconds())
    return report


def risks(market: Market) -> list[MoneyAtRisk]:
    with market.database.read() as session:
        return each_at_risk(session, market.clock.now, unreadable=market.shops.unreadable())


def left(market: Market) -> list[str]:
    with market.database.read() as session:
        return [one.account_id for one in session.scalars(select(FormerCredential))]


def warnings(market: Market, token: str = "", headers: dict[str, str] | None = None) -> list[str]:
    """Of `/ready`, asked from this machine."""
    settings = Settings(
        SECRET_KEY, database_url=str(market.database.url), public_url="https://x", metrics_token=token
    )  # fmt: skip
    cloud = Cloud(settings, market.database, market.world.rules, market.shops, "web", market.clock)
    told: list[str] = create_app(cloud).test_client().get("/ready", headers=headers).get_json()["warnings"]
    return told


def with_vault(market: Market, *keys: str) -> Market:
    """The cloud is started anew with these keys."""
    market.shops = ProviderClients(market.database, Vault(keys[0], keys[1:]), market._connect, lambda: market.clock.now)
    market.checkout._clients = market.shops
    market.workers = [(market._call_worker("first"), market._poller("first"))]
    market.world.vault = Vault(keys[0], keys[1:])
    return market


def test_a_buyer_at_the_old_shops_page_still_gets_his_coffee(market: Market) -> None:
    page = market.press(market.scan("o-1"))
    [warning] = [said for said in moves_to(market).warnings if "account_id" in said]
    assert f"1 payment(s) with {PRICE / 100:.2f} roubles are not settled at shop {ACCOUNT}" in warning
    assert market.press("o-1") == page, "one payment, at the shop where it was opened"
    market.yookassa.pay(market.provider_id("o-1"))
    market.hint(market.provider_id("o-1"))
    market.work()
    market.world.publish("o-1")
    market.world.report("o-1", Result.DONE)
    market.work()
    [theirs] = market.theirs("o-1")
    assert (theirs.shop_id, theirs.captured) == (ACCOUNT, PRICE)
    assert risks(market) == []


@pytest.mark.parametrize("capture", ["on_dispense", "immediate"])
def test_money_taken_at_the_old_shop_goes_back_there(market: Market, capture: str) -> None:
    market.change_credential("north", capture=capture)
    order_id = market.buys("o-1")
    moves_to(market)
    market.world.publish(order_id)
    market.world.report(order_id, Result.REJECTED, "no_water", Spout.NONE)
    market.work()
    assert market.kept(order_id) == sum(there.held for there in market.theirs(order_id)) == 0
    assert risks(market) == []


def test_new_payments_are_opened_at_the_new_shop(market: Market) -> None:
    moves_to(market)
    market.press(market.scan("o-1"))
    [theirs] = market.theirs("o-1")
    assert theirs.shop_id == SOUTH_ACCOUNT


def test_a_shop_that_is_come_back_to_is_not_left_any_more(market: Market) -> None:
    moves_to(market)
    moves_to(market, ACCOUNT, SHOP_SECRET)
    assert left(market) == [SOUTH_ACCOUNT]
    assert market.shops.of("north", "Yookassa")[1].shop == Shop(
        ACCOUNT, SHOP_SECRET, market.shops.of("north", "Yookassa")[1].shop.capture
    )


def test_the_old_key_is_forgotten_when_nothing_of_it_is_open(market: Market) -> None:
    order_id = market.buys("o-1")
    moves_to(market)
    market.clock.advance((CATCH_UP_DAYS + 2) * 86_400.0)
    market.database.transact(forget_left_accounts, market.clock.now)
    assert left(market) == [ACCOUNT], "a hold is open there"
    market.world.report(order_id, Result.DONE)
    market.rest()
    market.database.transact(forget_left_accounts, market.clock.now)
    assert left(market) == []


def test_the_old_key_is_kept_while_a_return_there_is_followed(market: Market) -> None:
    poured(market)
    market.work()
    moves_to(market)
    market.clock.advance((CATCH_UP_DAYS + 2) * 86_400.0)
    market.yookassa.behaviour = Behaviour(refund_delay=2 * 86_400.0)
    market.yookassa.provider.refund_in_cabinet(market.provider_id("o-1"), PRICE, "sour")
    reconciler = Reconciler(market.database, market.shops, market.clock, lambda _s: None)
    shop, day = ShopKey("north", "Yookassa", ACCOUNT), Day.of(market.clock.now)
    reconciler.reconcile(shop, day)
    market.database.transact(forget_left_accounts, market.clock.now)
    assert left(market) == [ACCOUNT], "a return is under way there"
    market.clock.advance(2 * 86_400.0)
    reconciler.reconcile(shop, day)
    market.work()
    assert (market.kept("o-1"), market.world.ledger("o-1")["refunded"]) == (0, PRICE)
    reconciler.reconcile(shop, day)
    market.database.transact(forget_left_accounts, market.clock.now)
    assert left(market) == []


def test_a_left_account_is_brought_under_the_present_key_too(market: Market) -> None:
    market.press(market.scan("o-1"))
    moves_to(market)
    done = rekey(market.database, Vault(NEW_KEY, (SECRET_KEY,)))
    assert f"payment Yookassa of merchant north, left shop {ACCOUNT}" in done.locked_anew
    with_vault(market, NEW_KEY)
    assert market.press("o-1").startswith("http")


def test_a_shop_whose_key_cannot_be_read_is_not_left_while_money_is_there(market: Market) -> None:
    order_id = market.buys("o-1")
    with_vault(market, NEW_KEY)
    with pytest.raises(FleetFileError) as refused:
        moves_to(market)
    assert f"1 payment(s) with {PRICE / 100:.2f} roubles" in str(refused.value)
    assert "COFFEE_OLD_SECRET_KEYS" in str(refused.value)
    moves_to(market, ACCOUNT, SHOP_SECRET)
    moves_to(market)
    market.world.report(order_id, Result.DONE)
    market.work()
    assert market.kept(order_id) == PRICE


def pending(market: Market) -> None:
    market.press(market.scan("o-1"))


def poured(market: Market) -> None:
    market.world.publish(market.buys("o-1"))
    market.world.report("o-1", Result.DONE)


def owed_back(market: Market) -> None:
    market.world.publish(market.buys("o-1"))
    market.world.report("o-1", Result.REJECTED, "no_water", Spout.NONE)


@pytest.mark.parametrize("reach", [pending, poured, owed_back])
def test_what_nobody_can_ask_about_is_at_risk_at_once(market: Market, reach: Callable[[Market], None]) -> None:
    """Regression: COFFEE_SECRET_KEY was replaced, a hold could not be taken any more, and no money was at risk."""
    reach(market)
    with_vault(market, NEW_KEY)
    market.work()
    [risk] = risks(market)
    assert (risk.action, risk.kopecks, risk.has_credential) == (Next.PERSON, PRICE, False)
    [warning] = warnings(market)
    assert f"1 payment(s), {PRICE / 100:.2f} roubles at shop {ACCOUNT}" in warning
    assert market.press("o-1") in {"no_payment", "already_paid", "wrong_state"}, "and no address is handed out"
    with_vault(market, NEW_KEY, SECRET_KEY)
    market.clock.advance(600)
    market.rest()
    assert warnings(market) == []


def test_a_payment_of_an_account_that_vanished_is_not_sent_to_its_page(market: Market) -> None:
    market.press(market.scan("o-1"))
    market.spoil_credential("north", "another_account")
    market.clock.advance(FRESH.total_seconds())
    assert market.press("o-1") == "no_payment"
    assert [risk.action for risk in risks(market)] == [Next.PERSON]


def test_a_hold_whose_key_the_provider_refuses_is_at_risk_at_once(market: Market) -> None:
    """Regression: a key rotated in the cabinet alone left a poured hold as "being taken" until it ran out."""
    poured(market)
    market.spoil_credential("north", "mistyped")
    market.clock.advance(FRESH.total_seconds())
    market.work()
    [risk] = risks(market)
    assert (risk.action, risk.has_credential, risk.key_is_refused) == (Next.PERSON, True, True)
    assert "is refused" in warnings(market)[0]
    market.spoil_credential("north", "right")
    market.rest()
    assert (risks(market), market.kept("o-1")) == ([], PRICE)


def test_an_open_payment_whose_key_the_provider_refuses_is_at_risk_until_an_answer_contradicts(market: Market) -> None:
    """Regression: a buyer may pay there any moment, and nobody heard of it for two hours."""
    market.press(market.scan("o-1"))
    market.spoil_credential("north", "mistyped")
    look_again(market)
    [risk] = risks(market)
    assert (risk.action, risk.kopecks, risk.has_credential, risk.key_is_refused) == (Next.PERSON, PRICE, True, True)
    assert "is refused" in warnings(market)[0]
    market.spoil_credential("north", "right")
    look_again(market)
    assert (risks(market), warnings(market)) == ([], [])


def test_a_shop_where_no_payment_can_be_opened_is_named(market: Market) -> None:
    """No money is at risk there, and nothing is sold."""
    market.spoil_credential("north", "mistyped")
    market.clock.advance(FRESH.total_seconds())
    assert market.press(market.scan("o-1")) == "no_payment"
    assert (risks(market), len(warnings(market))) == ([], 1)
    assert "no payment can be opened" in warnings(market)[0]
    assert warnings(market, headers=BY_A_PROXY) == [UNNAMED]
    market.spoil_credential("north", "right")
    look_again(market)
    assert warnings(market) == []


def test_a_stranger_is_told_no_shop_and_no_sum(market: Market) -> None:
    """Regression: anybody read in `/ready` whose key was refused, and how much of whose money waited for it."""
    assert warnings(market, headers=BY_A_PROXY) == []
    owed_back(market)
    market.spoil_credential("north", "mistyped")
    look_again(market)
    [named] = warnings(market)
    assert ACCOUNT in named
    strangers = [warnings(market, headers=BY_A_PROXY), warnings(market, TOKEN), warnings(market, TOKEN, WRONG)]
    assert strangers == [[UNNAMED]] * 3
    assert warnings(market, TOKEN, BY_A_PROXY | {"Authorization": f"Bearer {TOKEN}"}) == [named]


def look_again(market: Market) -> None:
    """The provider is asked about whatever waits."""
    market.clock.advance(LEAST_PATIENCE_S)
    market.work()
