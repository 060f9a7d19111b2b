"""The bookkeeper's page and files: sums to the kopeck, commissions known or unknown, nobody else's, no formulas."""

import csv
import io
import re
from datetime import date

import pytest

from cloud.access import users
from cloud.access.acts import Role
from cloud.access.person import EVERYTHING
from cloud.books import kinds
from cloud.books.csv_file import MARK
from cloud.books.period import Period
from cloud.books.reading import Asked
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device
from cloud.orders.money import PaymentState
from cloud.orders.sales_days import roll_up
from protocol.reasons import Result
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, PRICE

KEPT = 626


def sell(console: Console, income: int | None, device: str = DEVICE, *, goes_back: bool = False) -> str:
    world = console.world
    order_id = world.scan(device=device)
    payment = world.start(order_id, ONE_STAGE)
    world.tell(payment, PaymentState.CAPTURED, income=income)
    world.publish(order_id)
    world.clock.advance(40)
    world.report(order_id, Result.REJECTED if goes_back else Result.DONE, "no_milk" * goes_back, device=device)
    if goes_back:
        world.refunded(payment, f"rf-{order_id}")
    return order_id


@pytest.fixture
def sold(console: Console) -> Console:
    """Three cups, of which one went back and of one of which the commission is not known."""
    sell(console, PRICE - KEPT)
    sell(console, None, OTHER_DEVICE)
    sell(console, PRICE - KEPT, goes_back=True)
    console.world.database.transact(roll_up, console.world.now)
    return console


def lines(console: Console, book: str, who: str = "accountant@north", **asked: str) -> list[list[str]]:
    answer = console.client(who).get(f"/console/books/files/{book}.csv", query_string={"days": "7", **asked})
    text = answer.get_data(as_text=True)
    assert text.startswith(MARK)
    return list(csv.reader(io.StringIO(text.removeprefix(MARK)), delimiter=";"))[1:]


def test_money_by_day_and_provider(sold: Console) -> None:
    [line] = lines(sold, "money")
    assert line[1:] == ["north", "Yookassa", "537,00", "179,00", "12,52", "179,00", "неизвестно"]
    [known] = lines(sold, "money", machine=DEVICE)
    assert known[3:] == ["358,00", "179,00", "12,52", "0,00", "166,48"]
    [unknown] = lines(sold, "money", machine=OTHER_DEVICE)
    assert unknown[3:] == ["179,00", "0,00", "неизвестно", "179,00", "неизвестно"]
    assert lines(sold, "money", "accountant@south") == []


def test_the_ledger_names_each_movement_and_what_was_kept(sold: Console) -> None:
    told = lines(sold, "ledger")
    assert [(line[6], line[7]) for line in told] == [
        ("179,00", "6,26"), ("179,00", "неизвестно"), ("179,00", "6,26"), ("-179,00", ""),
    ]  # fmt: skip
    assert lines(sold, "ledger", "accountant@south") == []


def test_the_days_of_machines(sold: Console) -> None:
    told = {line[1]: line[3:8] for line in lines(sold, "days")}
    assert told == {
        DEVICE: ["1", "1", "358,00", "179,00", "179,00"],
        OTHER_DEVICE: ["1", "0", "179,00", "0,00", "179,00"],
    }


def test_a_file_is_read_page_by_page_and_loses_no_line(sold: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {book: lines(sold, book) for book in kinds.KINDS}
    monkeypatch.setattr(kinds, "PAGE", 1)
    assert {book: lines(sold, book) for book in kinds.KINDS} == whole
    monkeypatch.setattr(kinds, "MOST_LINES", 2)
    asked = Asked(EVERYTHING, Period(date(2020, 1, 1), date(2030, 1, 1)))
    words = {key: key for key in kinds.LEDGER.keys}
    *held, last = kinds.lines_of(sold.world.database, kinds.LEDGER, asked, words)
    assert (len(held), last) == (2, [kinds.CUT]), "cut, it says so"
    monkeypatch.setattr(kinds, "MOST_LINES", 4)
    assert len(list(kinds.lines_of(sold.world.database, kinds.LEDGER, asked, words))) == 4, "just full, it is whole"


def test_the_page_says_what_is_known_and_what_is_not(sold: Console) -> None:
    shown = sold.client("accountant@north").get("/console/books").get_data(as_text=True)
    assert "537\u00a0₽" in shown
    assert "12,52\u00a0₽" in shown
    assert "по платежам на 179\u00a0₽ не сообщена" in shown
    known = sold.client("accountant@north").get(f"/console/books?machine={DEVICE}").get_data(as_text=True)
    assert "166,48\u00a0₽" in known
    assert "сообщена по всем платежам" in known
    assert "537" not in sold.client("owner@south").get("/console/books").get_data(as_text=True)


def test_files_are_offered_only_where_they_hold_what_the_page_shows(console: Console) -> None:
    """Regression: beside the sums of two merchants stood a file of the one whose books he may export."""
    console.add_user("eve", FOREIGN, Role.ACCOUNTANT)

    def moved(tx: Transaction) -> None:
        users.give_role(tx, console.ids["eve"], OWN, Role.VIEWER, None)
        tx.session.add(Credential(merchant_id=FOREIGN, scenario="Yookassa", account_id="2", secret=b""))
        tx.session.get_one(Device, OTHER_DEVICE).merchant_id = FOREIGN

    console.world.database.transact(moved)
    for device in (DEVICE, DEVICE, OTHER_DEVICE):
        sell(console, PRICE - KEPT, device)
    console.world.database.transact(roll_up, console.world.now)
    post(console.client("owner@north"), "/console/books/exports", book="money")

    def page(merchant: str) -> tuple[str, bool, bool, bool]:
        shown = console.client("eve").get("/console/books", query_string={"merchant": merchant}).text
        [taken, *_] = re.findall(r'<b class="figure">(\d+)', shown)
        return taken, "/books/files/" in shown, "Owner@North" in shown, "не по всем показанным" in shown

    assert page("") == ("537", False, False, True)
    assert page(OWN) == ("358", False, False, False)
    assert page(FOREIGN) == ("179", True, False, False)
    assert [line[3] for line in lines(console, "money", "eve", merchant=FOREIGN)] == ["179,00"]
