"""The forms of an order's page: what they propose, what they say of a wrong sum, and that an old page does no harm."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from cloud.console.claims import readers
from cloud.orders import claims, order_tasks, receipts
from cloud.orders.claims import ClaimKind
from cloud.orders.models import Order
from cloud.orders.order_limits import OrderLimits
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.console.building import OWN, Console, form_token, post
from tests.cloud.console.made import a_request
from tests.cloud.orders.test_operator_actions import poured, silent
from tests.cloud.worlds import PRICE

SUPPORT = f"support@{OWN}"
LEFT = str(PRICE)
PROPOSED = re.compile(r'id="f-roubles"[^>]*value="([^"]*)"')
SAID = re.compile(r'class="notice (\w+)".*?<span>(.*?)</span>')


def waiting(console: Console) -> str:
    """An order of which nobody knows whether it was poured."""
    console.world.rules = OrderLimits(uncertain_returns_a_day=0)
    return silent(console.world)


def reader(console: Console, language: str) -> FlaskClient:
    client = console.client(SUPPORT)
    client.set_cookie("coffee_language", language, path="/console")
    return client


@pytest.mark.parametrize(
    ("kopecks", "language", "proposed"),
    [(14905, "ru", "149,05"), (14905, "en", "149.05"), (14950, "ru", "149,50"), (14900, "ru", "149")],
)
def test_it_proposes_what_is_left(console: Console, kopecks: int, language: str, proposed: str) -> None:
    order_id = waiting(console)
    console.world.database.transact(lambda tx: tx.connection.execute(update(Order).values(price=kopecks)))
    assert PROPOSED.findall(reader(console, language).get(f"/console/orders/{order_id}").text) == [proposed]


@pytest.mark.parametrize(
    ("is_known", "typed", "language", "said"),
    [
        (True, "1790", "ru", "По этому заказу можно вернуть 179\u00a0₽, не больше."),
        (True, "178,50", "en", "179\u00a0₽ can be returned: all of it, or a part of at least 1 ₽ "
         "that leaves more than 1 ₽."),
        (False, "10", "ru", "Неизвестно, налит ли напиток, поэтому возвращается всё: 179\u00a0₽."),
        (False, "abc", "en", "That is no amount in roubles."),
    ],
)  # fmt: skip
def test_a_wrong_sum_is_told_from_nothing_to_return(
    console: Console, is_known: bool, typed: str, language: str, said: str
) -> None:
    order_id = poured(console.world) if is_known else waiting(console)
    client = reader(console, language)
    shown = post(client, f"/console/orders/{order_id}/return", roubles=typed, reason="not_poured", left=LEFT).location
    assert SAID.findall(client.get(shown or "").text) == [("bad", said)]
    assert "refund" not in console.world.open_tasks(order_id)


@pytest.mark.parametrize(("language", "said"), [("ru", "отправить его некому"), ("en", "nobody to send it to")])
def test_a_part_whose_receipt_nobody_could_have_is_told_so(console: Console, language: str, said: str) -> None:
    world, order_id = console.world, poured(console.world)
    world.database.transact(lambda tx: receipts.begin(tx, world.payment(order_id), {"vat_code": 1}, "", world.now))
    client = reader(console, language)
    shown = post(client, f"/console/orders/{order_id}/return", roubles="50", reason="bad_drink", left=LEFT).location
    [(tone, words)] = SAID.findall(client.get(shown or "").text)
    assert (tone, said in words) == ("bad", True)
    assert "refund" not in world.open_tasks(order_id)


def test_every_return_to_approve_is_on_some_page(console_on_each: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: of 133 the first fifty were shown, and nothing led to the others."""
    monkeypatch.setattr(readers, "PAGE", 2)
    requests = [a_request(console_on_each) for _ in range(3)]
    client, following = console_on_each.client(f"owner@{OWN}"), ["/console/claims"]
    listed: list[list[str]] = []
    while following and len(listed) < len(requests):
        page = unescape(client.get(following[0]).text)
        listed.append(re.findall(r"/claims/requests/(\d+)/approve", page))
        following = re.findall(r'rel="next" href="([^"]+)"', page)
    assert listed == [requests[:2], requests[2:]]
    for after in (requests[2], "9" * 18):
        page = client.get(f"/console/claims?requests_after={after}").text
        assert re.findall(r"/claims/requests/(\d+)/approve", page) == requests[:2], "those after it are decided"


def shown(page: str, field: str) -> str:
    [value] = re.findall(rf'type="hidden" name="{field}" value="(\d+)"', page)
    return str(value)


def shown_all(page: str, field: str) -> dict[str, str]:
    """The one value of a hidden field that several forms have; nothing where no form has it."""
    return dict(set(re.findall(rf'type="hidden" name="({field})" value="(\d+)"', page)))


@pytest.mark.parametrize(
    ("language", "returned", "said"),
    [
        ("ru", "50", "Тем временем 50\u00a0₽ по этому заказу вернулись или возвращаются. Можно вернуть ещё 129\u00a0₽: "
         "посмотрите на заказ и решите заново."),
        ("en", "50", "Meanwhile 50\u00a0₽ of this order went back or are on their way back. 129\u00a0₽ can still be "
         "returned: look at the order once more and decide anew."),
        ("en", "", "Meanwhile 179\u00a0₽ of this order went back or are on their way back. Nothing is left to return."),
    ],
)  # fmt: skip
def test_what_an_old_page_offers_is_not_returned_once_more(
    console: Console, language: str, returned: str, said: str
) -> None:
    """Regression: two people opened the order, each returned fifty, and the buyer had a hundred."""
    world, order_id = console.world, poured(console.world)
    page, other = f"/console/orders/{order_id}", console.client(f"manager@{OWN}")
    client = reader(console, language)
    left = shown(client.get(page).text, "left")
    post(other, f"{page}/return", roubles=returned, reason="bad_drink", left=left)
    [refund] = world.rows(order_id, Task.REFUND)
    world.in_docket(order_id, order_tasks.settle_task, refund.key, "", "done", world.now)
    world.refunded(world.payment(order_id).id, "rf-1", refund.amount or PRICE)
    ReturnFollowup(world.database).step(world.now)
    again = post(client, f"{page}/return", roubles="50", reason="bad_drink", left=left)
    told = client.get(again.location or "").text
    assert SAID.findall(told) == [("bad", said)]
    assert len(world.rows(order_id, Task.REFUND)) == 1
    if returned:
        assert shown(told, "left") == "12900"


def test_the_button_of_an_old_page_pours_no_second_free_drink(console: Console) -> None:
    """Regression: it poured one each time it was pressed."""
    world, order_id = console.world, poured(console.world)
    page, client = f"/console/orders/{order_id}", reader(console, "ru")
    drinks = shown(client.get(page).text, "drinks")
    free = (post(client, f"{page}/pour", drinks=drinks).location or "").rpartition("/")[2]
    world.publish(free)
    world.report(free, Result.DONE)
    told = client.get(post(client, f"{page}/pour", drinks=drinks).location or "").text
    assert "Тем временем этот напиток кто-то уже налил ещё раз" in told
    assert shown(told, "drinks") == "2"


@pytest.mark.parametrize(("language", "said"), [("ru", "написали ещё"), ("en", "Meanwhile something was written")])
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("field", ["answer", "resolve_words"])
def test_an_old_page_closes_no_claim_over_words_its_reader_has_not_seen(
    console: Console, field: str, answered: bool, language: str, said: str
) -> None:
    """Regression: the buyer's last words were closed unread, and no alert told of them any more."""
    world, client = console.world, reader(console, language)
    transact, order_id = world.database.transact, poured(world)
    claim_id = transact(claims.say, order_id, ClaimKind.BAD_DRINK, "cold", "ru", world.now).id
    page = f"/console/orders/{order_id}"
    old = shown_all(client.get(page).text, "said")
    transact(claims.say, order_id, None, "my hand is burnt", "ru", world.now)
    if answered:
        transact(claims.answer, claim_id, "anna", "we call you", world.now, resolves=False)
    act = f"/console/claims/{claim_id}/answer" if field == "answer" else f"{page}/resolve"
    form = {field: "a cup for free", "then": "resolved"}
    refused = post(client, act, **form, **old)
    assert (refused.status_code, refused.location) == (303, page)
    client.get(page, headers={"HX-Request": "true"})  # another window renews itself
    told = client.get(page).text
    [(tone, sentence)] = SAID.findall(told)
    assert (tone, said in sentence, "my hand is burnt" in told) == ("bad", True, True)
    with world.database.read() as session:
        assert [claim.state for claim in claims.claims_of(session, order_id)] == ["answered" if answered else "open"]
    post(client, act, **form, **shown_all(told, "said"))
    with world.database.read() as session:
        assert [claim.state for claim in claims.claims_of(session, order_id)] == ["resolved"]


@pytest.mark.parametrize("field", [{}, {"left": "?", "drinks": "?", "said": "?"}], ids=["missing", "unreadable"])
@pytest.mark.parametrize(("language", "stale"), [("ru", "Заказ с тех пор изменился"), ("en", "has changed since")])
def test_a_page_from_before_an_upgrade_does_nothing(
    console: Console, language: str, stale: str, field: dict[str, str]
) -> None:
    """Regression: what it had not shown was not looked at, and a part went back or a drink was poured twice."""
    world, client, order_id = console.world, reader(console, language), poured(console.world)
    world.database.transact(claims.say, order_id, ClaimKind.BAD_DRINK, "cold", "ru", world.now)
    page = f"/console/orders/{order_id}"
    with world.database.read() as session:
        [claim] = claims.claims_of(session, order_id)
        orders = session.query(Order).count()
    for act, form in {
        f"{page}/return": {"roubles": "50", "reason": "bad_drink"}, f"{page}/pour": {"pour_words": "cold"},
        f"{page}/resolve": {"resolve_words": "told"}, f"/console/claims/{claim.id}/answer": {"answer": "sorry"},
    }.items():  # fmt: skip
        told = client.get(post(client, act, **form, **field).location or "").text
        assert [(tone, stale in words) for tone, words in SAID.findall(told)] == [("bad", True)], act
    with world.database.read() as session:
        assert session.query(Order).count() == orders
        assert [one.state for one in claims.claims_of(session, order_id)] == ["open"]
        assert len(claims.messages_of(session, claim.id)) == 1
    assert world.rows(order_id, Task.REFUND) == []


def test_who_shows_again_who_he_is_after_a_refused_answer_comes_back_to_the_order(console: Console) -> None:
    """Regression: the refused page stood at an address that nobody can open, and he came back to "not found"."""
    world, order_id = console.world, poured(console.world)
    console.cloud.settings.__dict__["return_limit"] = 100.0
    claim_id = world.database.transact(claims.say, order_id, ClaimKind.BAD_DRINK, "cold", "ru", world.now).id
    post(reader(console, "en"), f"/console/orders/{order_id}/return", roubles="", reason="bad_drink", left=LEFT)
    client, act = console.client(f"manager@{OWN}", confirmed=False), f"/console/claims/{claim_id}/answer"
    stands_at = post(client, act, answer="sorry", said="9").location or act
    assert client.get(stands_at, query_string={"merchant": OWN}).status_code == 200
    form = {"csrf_token": form_token(client)}
    asked = client.post(
        "/console/claims/requests/1/approve", data=form, headers={"Referer": f"https://localhost{stands_at}"}
    )
    back = parse_qs(urlsplit(asked.location or "").query)["next"]
    assert [client.get(page).status_code for page in back] == [200]


def test_a_claim_without_words_is_not_closed_from_a_page_that_had_none(console: Console) -> None:
    world, client, order_id = console.world, reader(console, "en"), poured(console.world)
    page = f"/console/orders/{order_id}"
    old = shown_all(client.get(page).text, "said")
    world.database.transact(claims.say, order_id, ClaimKind.NOT_POURED, "", "ru", world.now)
    post(client, f"{page}/resolve", **old)
    with world.database.read() as session:
        assert [claim.state for claim in claims.claims_of(session, order_id)] == ["open"]
