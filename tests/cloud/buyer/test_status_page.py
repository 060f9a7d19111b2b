"""The page from scan to cup as the server writes it, without any script."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from cloud.orders.states import Status
from protocol.reasons import Result, Spout, Stage
from tests.cloud.buyer.orders import RULES, Orders, TestClock
from tests.cloud.buyer.states import NOTE, STATES

STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
"""The one style a page brings along, named in the content policy by its hash."""
UNOBSERVED = "make_failed, unobserved"
"""Nothing is known to have gone wrong: it has words of its own."""
PLEA = "Не удалось отправить команду на приготовление. Пожалуйста, обратитесь в поддержку."


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page(client: FlaskClient, order_id: str = "o-1", **query: str) -> str:
    response = client.get("/v1/order-status-page", query_string={"order_id": order_id, **query})
    assert response.status_code == 200, response.text
    return STYLE.sub("", response.text)


def static_file(client: FlaskClient, path: str) -> tuple[Headers, bytes]:
    with client.get(path) as response:
        assert response.status_code == 200
        return response.headers, response.data


def forms(html: str) -> list[str | None]:
    return [form["action"] for form in Elements(html).all("form")]


def refreshes(html: str) -> list[str | None]:
    return [meta["content"] for meta in Elements(html).all("meta") if meta.get("http-equiv") == "refresh"]


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_page_without_anything_inline(client: FlaskClient, orders: Orders, state: str) -> None:
    order_id = STATES[state](orders)
    for language in ("ru", "en"):
        html = page(client, order_id, lang=language)

        assert f'<html lang="{language}">' in html
        assert len(Elements(html).all("h1")) == 1
        for tag, attributes in Elements(html).found:
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            assert tag != "script" or attributes.get("src")
        assert "{" not in re.sub(r"<[^>]*>", "", html)


@pytest.mark.parametrize(
    "state", [state for state in STATES if state.startswith("make_failed") and state != UNOBSERVED]
)
def test_make_failed_warns_and_offers_neither_payment_nor_retry(
    client: FlaskClient, orders: Orders, state: str
) -> None:
    html = page(client, STATES[state](orders))

    assert PLEA in html
    assert "⚠" in html
    assert forms(html) == []
    assert not Elements(html).all("button")
    assert "Назовите поддержке номер заказа" in html
    assert 'data-follow="0"' in html


def test_make_failed_shows_the_merchants_note_and_no_script_of_it(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(client_info_make_failed=NOTE + "<script>alert(1)</script>")

    html = page(client, orders.make_failed())

    assert 'href="tel:+78120000000"' in html
    assert "<b>рядом</b>" in html
    assert "alert(1)" not in html


def test_while_nobody_knows_the_buyer_is_told_for_how_long(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.uncertain())

    assert "Автомат не подтвердил напиток" in html
    assert "Выясняем, налил ли автомат напиток" in html
    assert 'data-left="300"' in html


def test_of_a_machine_that_cannot_tell_nothing_is_said_to_have_gone_wrong(client: FlaskClient, orders: Orders) -> None:
    html = page(client, STATES[UNOBSERVED](orders))
    assert "Команда передана автомату" in html
    assert "Узнать, налит ли напиток, мы не можем, поэтому вернём" in html
    assert not any(untrue in html for untrue in (PLEA, "прервалась", "⚠", "Готово!"))
    assert forms(html) == []


def test_late_truth_turns_the_page_to_ready(client: FlaskClient, orders: Orders) -> None:
    orders.outcome(orders.uncertain(), Result.DONE, out=Spout.FULL, revision=2)

    assert "Готово!" in page(client)


def test_ready_is_never_shown_without_the_machines_word(client: FlaskClient, orders: Orders) -> None:
    orders.paid("paid")
    orders.sent("sent")
    orders.accepted("accepted")
    orders.making("serving", Stage.SERVE, 100)
    for order_id in ("paid", "sent", "accepted", "serving"):
        html = page(client, order_id)
        assert "Готово!" not in html
        assert 'data-mood="ready"' not in html
        assert 'data-level="100"' not in html


def test_the_cup_fills_as_the_machine_says(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.making(stage=Stage.MILK, pct=70))

    assert "Взбиваем молоко" in html
    assert 'aria-valuenow="70"' in html


def test_paying_is_a_plain_form(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.created("a&b"))

    assert forms(html) == ["/v1/initiate-payment?lang=ru"]
    assert {"type": "hidden", "name": "order_id", "value": "a&b"} in Elements(html).all("input")
    assert "Оплатить 179\u00a0₽" in html
    assert "email" not in [field.get("type") for field in Elements(html).all("input")]


def test_an_email_is_asked_for_only_where_a_receipt_is_owed(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(payment_scenario="YookassaReceipt")

    fields = Elements(page(client, orders.created())).all("input")

    assert [field["name"] for field in fields] == ["order_id", "slot", "email"]
    assert "required" in fields[2]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"online": False}, "Автомат сейчас не на связи."),
        ({"faults": [{"code": "no_water", "level": "block", "drinks": []}]}, "В автомате закончилась вода."),
        ({"busy_order": "somebody else's"}, "Автомат готовит другой напиток"),
        ({"machine": "rinsing"}, "Автомат промывается."),
        ({"faults": [{"code": "door_open", "level": "block", "drinks": []}]}, "У автомата открыта дверца."),
        ({"selling": False}, "Автомат временно не продаёт"),
    ],
)
def test_what_stands_in_the_way_is_told_before_paying(
    client: FlaskClient, orders: Orders, state: dict[str, object], says: str
) -> None:
    orders.machine_says(**state)  # type: ignore[arg-type]  # one of them is `online`

    html = page(client, orders.created())

    assert says in html
    assert forms(html) == []
    orders.machine_says()
    assert forms(page(client)) == ["/v1/initiate-payment?lang=ru"]


def test_nobody_who_waits_to_pay_is_called_the_next(client: FlaskClient, orders: Orders) -> None:
    """Regression: every phone that waited at a machine was told so."""
    orders.accepted("q-1")
    for order_id in ("o-1", "o-2"):
        html = page(client, orders.created(order_id))
        assert "Автомат готовит другой напиток" in html
        assert "следующий" not in html


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("ru", "Ждать около {}, а если он заплатит — дольше."),
        ("en", "You wait about {}, longer if they pay."),
    ],
)
def test_who_waits_for_anothers_payment_is_told_that_a_drink_may_come_of_it(
    client: FlaskClient, orders: Orders, language: str, says: str
) -> None:
    html = page(client, STATES["created, reserved"](orders), lang=language)

    [remaining] = re.findall(r'<p class="remaining">(.*?)</p>', html)
    assert re.sub(r"<span.*</span>", "{}", remaining) == says


def test_a_test_device_is_not_checked(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(status="test")
    orders.machine_says(online=False)

    assert forms(page(client, orders.created())) == ["/v1/initiate-payment?lang=ru"]


def test_a_declined_payment_can_be_tried_again_while_there_is_time(
    client: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    html = page(client, orders.not_paid())
    assert "На карте не хватило денег." in html
    assert "Попробовать ещё раз" in html
    assert forms(html) == ["/v1/initiate-payment?lang=ru"]

    clock.forward(RULES.order_expiration_s)

    html = page(client)
    assert "Время заказа вышло" in html
    assert forms(html) == []


def test_manual_make_is_poured_by_a_plain_form(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.manual_make("a/b"))

    assert forms(html) == ["/v1/orders/a%2Fb/make?lang=ru"]
    assert 'data-left="1800"' in html


def test_manual_make_offers_nothing_a_machine_cannot_keep(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make()
    orders.machine_says(online=False)

    html = page(client)

    assert forms(html) == []
    assert "Автомат сейчас не на связи." in html


def test_an_honest_time_left_comes_from_real_cups(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    for number in range(3):
        order_id = f"earlier-{number}"
        orders.accepted(order_id)
        clock.forward(40)
        orders.outcome(order_id, Result.DONE, out=Spout.FULL)

    orders.making()
    clock.forward(10)

    assert 'data-left="30"' in page(client)
    clock.forward(31)
    assert "Ещё совсем чуть-чуть." in page(client)
    clock.forward(30)
    assert "Дольше обычного. Если за" in page(client)
    assert f'data-left="{RULES.make_timeout_s - 71:.0f}"' in page(client)


def test_no_time_left_is_invented(client: FlaskClient, orders: Orders) -> None:
    assert "data-left" not in page(client, orders.making())


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ("created", "client_info"),
        ("pending", "client_info_pending"),
        ("paid", "client_info_paid"),
        ("not_paid", "client_info_not_paid"),
        ("sent", "client_info_make_pending"),
        ("making, brew", "client_info_make_pending"),
        ("manual_make", "client_info_manual_make"),
        ("successful", "client_info_successful"),
        ("failed", "client_error_info"),
        ("expired", "client_error_info"),
        ("make_failed", "client_info_make_failed"),
    ],
)
def test_each_status_shows_the_merchants_own_note(client: FlaskClient, orders: Orders, state: str, field: str) -> None:
    orders.change_device(**{field: "<b>our note</b>"})

    assert "<b>our note</b>" in page(client, STATES[state](orders))


def test_only_what_changes_can_be_asked_for_alone(client: FlaskClient, orders: Orders) -> None:
    part = page(client, orders.paid(), part="1")

    assert part.lstrip().startswith("<section")
    assert "<html" not in part
    assert 'data-key="paid||"' in part


@pytest.mark.parametrize(
    ("state", "looks_again"),
    [
        ("paid", "2"),
        ("making, brew", "2"),
        ("pending", "2"),
        ("created", "10"),
        ("not_paid", "10"),
        ("not_paid, busy", "3"),
        ("not_paid, over", ""),
        ("make_failed", "20"),
        ("successful", ""),
        ("expired", ""),
        ("created, receipt", "902"),
        ("created, reserved", "3"),
    ],
)
def test_without_scripts_the_page_looks_again_by_itself(
    client: FlaskClient, orders: Orders, state: str, looks_again: str
) -> None:
    html = page(client, STATES[state](orders))

    assert refreshes(html) == ([looks_again] if looks_again else [])


@pytest.mark.parametrize(
    ("stands_in_the_way", "looks_again"),
    [(lambda orders: orders.making("o-2"), "3"), (lambda orders: orders.machine_says(machine="rinsing"), "5")],
    ids=["busy", "rinsing"],
)
@pytest.mark.parametrize(("scenario", "begun"), [("YookassaReceipt", Orders.created), ("Yookassa", Orders.not_paid)])
def test_without_scripts_a_button_that_comes_by_itself_does_come(
    client: FlaskClient, orders: Orders, begun: Callable[[Orders], str], scenario: str,
    stands_in_the_way: Callable[[Orders], object], looks_again: str,
) -> None:  # fmt: skip
    """Regression: as if somebody typed where there is no field, the page stood still until the order was over."""
    orders.change_device(payment_scenario=scenario)
    begun(orders)
    stands_in_the_way(orders)

    assert refreshes(page(client)) == [looks_again]


def test_the_logo_comes_only_from_the_web(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(logo_url="https://example.org/logo.svg")
    assert 'src="https://example.org/logo.svg"' in page(client, orders.created())

    orders.change_device(logo_url="javascript:alert(1)")
    assert "javascript:" not in page(client)


def test_what_machines_and_merchants_write_is_escaped(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(location="<script>alert(1)</script>")

    html = page(client, orders.created('"><script>alert(2)</script>'))

    assert "<script>alert" not in html


@pytest.mark.parametrize(("query", "status"), [({}, 400), ({"order_id": ""}, 400), ({"order_id": "nobody"}, 404)])
def test_an_unknown_order_is_a_page_too(
    client: FlaskClient, orders: Orders, query: dict[str, str], status: int
) -> None:
    response = client.get("/v1/order-status-page", query_string=query)

    assert response.status_code == status
    assert "<h1>" in response.text


def test_all_nine_statuses_are_pictured() -> None:
    assert {state.partition(",")[0] for state in STATES} - {"making", "sent", "accepted", "expired"} == {
        status.value for status in Status
    } - {"make_pending"}


def test_an_english_phone_reads_english(client: FlaskClient, orders: Orders) -> None:
    address = f"/v1/order-status-page?order_id={orders.created()}"
    assert "Check your order and pay" in client.get(address, headers={"Accept-Language": "en-GB"}).text
