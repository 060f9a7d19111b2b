"""The pages of money: whatever reconciliation left open is named there, and settled there, also without a sum."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import update

from cloud.access import users
from cloud.access.acts import Role
from cloud.access.person import EVERYTHING
from cloud.alerts.money_conditions import differences
from cloud.console.money import reading
from cloud.console.money.reading import LISTED, read_risks
from cloud.console.money.texts_en import EN
from cloud.console.money.texts_ru import RU
from cloud.database.transaction import Transaction
from cloud.fleet.models import DeviceLive
from cloud.orders.at_risk import UNANSWERED_FOR_A_PERSON
from cloud.orders.models import Payment
from cloud.payments.reconcile.cups import COUNTERS, keep_counts
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import NO_MONEY, Kind
from cloud.payments.reconcile.ledger_view import ShopKey
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State
from cloud.payments.reconcile.reconciler import Reconciler
from cloud.payments.reconcile.store import ITSELF
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.console.samples import SAMPLES
from tests.cloud.worlds import DEVICE

OWNER = f"owner@{OWN}"
MONEY = "/console/money"


def found(console: Console, kind: Kind, state: State = State.OPEN, merchant: str = OWN, **more: int | str) -> int:
    """A finding of yesterday; its number."""
    now = console.world.now

    def add(tx: Transaction) -> int:
        one = FoundDifference(
            merchant_id=merchant, fingerprint=uuid.uuid4().hex, day=(now - timedelta(days=1)).date(), kind=kind.value,
            state=state.value, first_seen_at=now, last_seen_at=now, **more,
        )  # fmt: skip
        tx.session.add(one)
        tx.session.flush()
        return one.id

    return console.world.database.transact(add)


def stands(console: Console, number: int) -> tuple[str, str, str]:
    with console.cloud.database.read() as session:
        one = session.get_one(FoundDifference, number)
    return one.state, one.closed_by, one.closed_note


def page(console: Console, address: str = f"{MONEY}?lang=ru", who: str = OWNER) -> str:
    return unescape(console.client(who).get(address).text)


def is_told(console: Console) -> bool:
    """By the alert."""
    with console.cloud.database.read() as session:
        return bool(differences(session, console.clock.now))


def test_whatever_is_open_is_named_and_settled(console: Console) -> None:
    """Regression: without a sum it was on no page with a button, and its alert went on for ever."""
    good = RU["money.good"]
    assert good in page(console)
    numbers = {kind: found(console, kind) for kind in Kind}
    for language, texts in (("ru", RU), ("en", EN)):
        shown = page(console, f"{MONEY}?lang={language}")
        assert texts["money.good"] not in shown
        for kind, number in numbers.items():
            assert f"<b>{texts[f'money.finding.{kind}']}</b>" in shown
            assert f'action="{MONEY}/differences/{number}/settle' in shown
    assert good in page(console, who=f"owner@{FOREIGN}")
    client = console.client(OWNER)
    for number in numbers.values():
        assert is_told(console)
        post(client, f"{MONEY}/differences/{number}/settle", why="looked at")
    assert good in page(console)
    assert not is_told(console)


def test_cups_are_no_kopecks_and_their_machine_is_named(console: Console) -> None:
    found(console, Kind.CUPS_MORE, here=3, there=400, device_uuid=DEVICE)
    assert f"{DEVICE} · {RU['money.here_there'].format(here=3, there=400)}" in page(console)
    assert {Kind.CUPS_MORE, Kind.CUPS_FEWER} <= NO_MONEY


def test_what_has_no_sum_changes_none_and_comes_last(console: Console) -> None:
    for _ in range(LISTED + 1):
        found(console, Kind.CUPS_MORE, here=3, there=4)
    found(console, Kind.CANCELED_NOT_HERE, State.MENDING, here=0, there=0)
    SAMPLES["difference"](console)
    with console.cloud.database.read() as session:
        risks = read_risks(session, EVERYTHING, (), console.clock.now)
    assert (risks.kopecks, risks.waiting) == (100, 100)
    assert ([one.kopecks for one in risks.differences.items[:2]], len(risks.differences.items)) == ([100, 0], LISTED)
    assert f"Показаны первые {LISTED} из {LISTED + 3}." in page(console)


def test_of_payments_that_wait_it_says_how_many_are_told(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the tile said 299, the list held 200, and nothing said that it was cut."""
    monkeypatch.setattr(reading, "LISTED", 1)
    stuck = [console.world.pay() for _ in range(2)]
    unanswered = update(Payment).values(checks=UNANSWERED_FOR_A_PERSON)
    console.cloud.database.transact(lambda tx: tx.connection.execute(unanswered))
    shown = page(console)
    assert "Показаны первые 1 из 2." in shown
    assert [order in shown for order in stuck] == [True, False]


def test_nobody_is_needed_only_where_no_finding_beyond_the_list_waits(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: only the findings that were listed were asked."""
    monkeypatch.setattr(reading, "LISTED", 1)
    console.world.pay()
    for state in (State.MENDING, State.OPEN):
        found(console, Kind.OPEN_THERE, state, here=0, there=0)
    assert RU["money.waiting_good"] not in page(console)


def test_all_that_a_day_found_is_on_its_pages_the_open_first(
    console_on_each: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: two hundred were told, of the thousand that the database gave first; an open one could be missing."""
    monkeypatch.setattr(reading, "PAGE", 2)
    console = console_on_each
    closed = [found(console, Kind.CUPS_MORE, State.CLOSED, closed_note=f"note {number}") for number in range(3)]
    still_open = [found(console, Kind.CUPS_MORE) for _ in range(2)]
    first = page(console, f"{MONEY}/days?lang=ru")
    assert [f"/{number}/settle" in first for number in still_open] == [True, True]
    told, following = first, first
    for _ in range(2):
        [address] = re.findall(r'rel="next" href="([^"]+)"', following)
        following = page(console, address)
        told += following
    assert 'rel="next"' not in following
    assert [told.count(f"note {number}") for number in range(len(closed))] == [1, 1, 1]


@pytest.mark.parametrize(("state", "is_fine"), [(State.OPEN, False), (State.MENDING, True)])
def test_nobody_is_needed_only_where_no_finding_waits(console: Console, state: State, is_fine: bool) -> None:
    console.world.pay()
    found(console, Kind.OPEN_THERE, state, here=0, there=0)
    assert (RU["money.waiting_good"] in page(console)) is is_fine


def test_on_the_page_of_its_day_what_is_open_is_settled_too(console: Console) -> None:
    numbers = {state: found(console, Kind.RECEIPT_FAILED, state) for state in State}
    day = f"{MONEY}/days?day={(console.world.now - timedelta(days=1)).date()}"
    forms = {state for state, number in numbers.items() if f"/{number}/settle" in page(console, day)}
    assert forms == {State.OPEN, State.MENDING}
    assert f'name="day" value="{day[-10:]}"' in page(console, day)
    assert "/settle" not in page(console, day, f"viewer@{OWN}")
    at = f"{MONEY}/differences/{numbers[State.OPEN]}/settle"
    for why in ("", "looked at"):
        assert post(console.client(OWNER), at, why=why, day=day[-10:]).location.endswith(day)
    assert "looked at" in page(console, day)


@pytest.mark.parametrize("address", [MONEY, f"{MONEY}/days"])
def test_the_button_stands_only_where_the_press_is_taken(console: Console, address: str) -> None:
    """Regression: who may settle somewhere had it beside every difference he saw."""
    console.add_user("both", OWN, Role.MANAGER)
    console.world.database.transact(users.give_role, console.ids["both"], FOREIGN, Role.VIEWER)
    own, other = found(console, Kind.RECEIPT_FAILED), found(console, Kind.SHOP_GONE, merchant=FOREIGN)
    shown = page(console, f"{address}?lang=en", "both")
    assert EN["money.finding.shop_gone"] in shown
    assert (f"/{own}/settle" in shown, f"/{other}/settle" in shown) == (True, False)
    assert post(console.client("both"), f"{MONEY}/differences/{other}/settle", why="x").status_code == 403


def test_what_is_closed_is_not_settled_a_second_time(console: Console) -> None:
    """Regression: a press on an old page took the first person's name and note, or closed for good what had closed by
    itself.
    """
    number = found(console, Kind.RECEIPT_FAILED)
    by_itself = found(console, Kind.RECEIPT_FAILED, State.CLOSED, closed_by=ITSELF)
    client = console.client(OWNER)
    post(client, f"{MONEY}/differences/{number}/settle", why="looked at")
    before = {one: stands(console, one) for one in (number, by_itself)}
    assert [note for *_, note in before.values()] == ["looked at", ""]
    for one, stood in before.items():
        post(console.client(f"manager@{OWN}"), f"{MONEY}/differences/{one}/settle", why="me too")
        assert stands(console, one) == stood
    client = console.client(OWNER)
    post(client, f"{MONEY}/differences/{number}/settle", why="again")
    assert RU["money.closed_before"] in unescape(client.get(f"{MONEY}?lang=ru").text)


@pytest.mark.parametrize(("language", "texts"), [("ru", RU), ("en", EN)])
def test_of_machines_it_says_how_many_were_compared(console: Console, language: str, texts: dict[str, str]) -> None:
    """Regression: "compared" was said, in green, of machines that have no counters."""
    transact, day = console.world.database.transact, Day.of(console.clock.now)
    look = Reconciler(console.cloud.database, console.cloud.clients, console.clock, lambda _: None).reconcile
    address = f"{MONEY}/days?day={day.date}&lang={language}"

    def badge() -> str:
        look(ShopKey(OWN, "", ""), day)
        [told] = re.findall(r'<span class="badge ([^"]*)">([^<]*)', page(console, address))
        return ": ".join(told)

    def counts(tx: Transaction) -> None:
        told = {"counters": dict.fromkeys(COUNTERS, 7), "machine": "ready"}
        tx.session.execute(update(DeviceLive).where(DeviceLive.device_uuid == DEVICE).values(state=told))
        keep_counts(tx, console.clock.now)

    console.clock.now += timedelta(days=1)
    assert badge() == f": {texts['money.nothing_compared']}"
    console.clock.now -= timedelta(days=1)
    transact(counts)
    console.clock.now += timedelta(days=1)
    transact(counts)
    assert badge() == f"good: {texts['money.compared'].format(compared=1, machines=2)}"
    transact(lambda tx: tx.session.execute(update(Reconciliation).values(machines=None, compared=None)))
    [unknown] = re.findall(r'<span class="badge ([^"]*)">([^<]*)', page(console, address))
    assert unknown == ("", texts["money.compared_unknown"]), "of a day looked at before this was kept"
