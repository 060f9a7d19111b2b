"""The page of an alert: what to do in the reader's language, and a link there for people who may act on it."""

import html
import re
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from cloud.access import users
from cloud.access.acts import Role
from cloud.alerts import channel_settings
from cloud.alerts.channels.sender import Why
from cloud.alerts.incident import Condition, advance, begun
from cloud.alerts.kinds import OF_A_MACHINE, OF_THE_PLATFORM, PLATFORM, TERMS, Kind
from cloud.alerts.models import AlertMessage, IncidentRow
from cloud.alerts.rule_settings import rules_of
from cloud.alerts.store import write
from cloud.console.alerts import readers
from cloud.console.alerts.what_to_do_ru import WHAT_TO_DO_RU
from cloud.console.alerts.where_to_act import PLACES
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Merchant
from cloud.orders.outbox import OutboxRow
from tests.cloud.alerts.test_words import FACTS
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.worlds import DEVICE, OTHER_DEVICE

INCIDENT = "0f" * 16


def an_alert(console: Console, kind: Kind) -> str:
    """The address of one that is told already."""
    merchant = PLATFORM if kind in OF_THE_PLATFORM else OWN
    since = console.clock.now - TERMS[kind].pending
    condition = Condition(kind, merchant, DEVICE if kind in OF_A_MACHINE else "", since, FACTS)
    incident = advance(begun(condition, INCIDENT, since), condition, console.clock.now)
    console.cloud.database.transact(lambda tx: write(tx.session, incident))
    return f"/console/alerts/{INCIDENT}"


def test_each_says_what_to_do_and_leads_there(console: Console) -> None:
    client = console.client("admin")
    for kind in Kind:
        page = client.get(an_alert(console, kind), headers={"Accept-Language": "ru"}).text
        assert WHAT_TO_DO_RU[f"alerts.do.{kind.value}"] in html.unescape(page)
        ways = re.findall(r'<a class="button" href="([^"]+)"', page)
        assert len(ways) == (kind in PLACES), kind
        assert [client.get(way).status_code for way in ways] == [200] * len(ways), kind
        is_of_a_merchants_settings = kind in {Kind.VALIDITY_ENDING, Kind.KEY_REFUSED}
        assert (f"/console/settings/{OWN}" in ways) is is_of_a_merchants_settings


def test_nobody_is_led_to_where_he_may_not_go(console: Console) -> None:
    address = an_alert(console, Kind.MONEY_WAITS)
    assert 'href="/console/money"' in console.client(f"owner@{OWN}").get(address).text
    assert 'href="/console/money"' not in console.client(f"support@{OWN}").get(address).text


PAGES = ("/console/now", "/console/alerts", "/console/alerts/now", f"/console/alerts/{INCIDENT}")


@pytest.mark.parametrize("name", ["ООО Восток", "ООО Юг"])
def test_who_sees_several_merchants_reads_whose_it_is(console: Console, name: str) -> None:
    """Regression: money that waits, a contract that ends: of no machine, and no page said of which merchant."""
    rename = update(Merchant).where(Merchant.id == OWN).values(name=name)
    console.cloud.database.transact(lambda tx: tx.session.execute(rename))
    called = name if name != "ООО Юг" else f"{name} · {OWN}"
    console.add_user("both", OWN, Role.TECHNICIAN, [DEVICE])
    console.cloud.database.transact(users.give_role, console.ids["both"], FOREIGN, Role.VIEWER)
    for kind, who in ((Kind.MONEY_WAITS, "admin"), (Kind.OFFLINE, "both")):
        an_alert(console, kind)
        for page in PAGES:
            shown = re.sub(r"<select.*?</select>", "", console.client(who).get(page).text, flags=re.DOTALL)
            assert called in shown, page
            assert f"{name} ·" not in console.client(f"owner@{OWN}").get(page).text
            assert f">{name}<" not in console.client(f"owner@{OWN}").get(page).text
    over = update(IncidentRow).values(state="resolved", resolved_at=console.clock.now)
    console.cloud.database.transact(lambda tx: tx.session.execute(over))
    assert f'<span class="line">{called}</span>' in console.client("admin").get("/console/alerts").text


def test_where_the_runbook_can_be_read_its_page_is_linked(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    address = an_alert(console, Kind.MANY_OFFLINE)
    assert "runbook" not in console.client("admin").get(address).text
    with_it = replace(console.cloud.settings, runbook_url="https://git.example/main/")
    monkeypatch.setattr(console.cloud, "settings", with_it)
    page = console.client("admin").get(address).text
    assert 'href="https://git.example/main/docs/runbook.md#many-offline"' in page


def test_the_worst_are_shown_however_many_came_after_them(
    console_on_each: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the newest were taken and only then ordered, so an old critical one was on no page of alerts."""
    monkeypatch.setattr(readers, "MOST_OPEN", 2)
    console = console_on_each
    now, client = console.clock.now, console.client(f"owner@{OWN}")

    def opened(kind: Kind, days: int, subject: str) -> None:
        condition = Condition(kind, OWN, subject, now - timedelta(days=days), FACTS)
        one = advance(begun(condition, f"{kind.value}-{days}", condition.since), condition, now)
        console.cloud.database.transact(lambda tx: write(tx.session, one))

    for at, (kind, days) in enumerate(((Kind.MONEY_WAITS, 9), (Kind.OFFLINE, 2))):
        opened(kind, days, DEVICE if at else "")
    assert "Показаны самые срочные" not in client.get("/console/alerts").text
    opened(Kind.OFFLINE, 1, OTHER_DEVICE)
    for page in ("/console/alerts", "/console/alerts/now"):
        shown = html.unescape(client.get(page).text)
        assert re.findall(r'href="/console/alerts/(\w+-\d)"', shown) == ["money_waits-9", "offline-1"]
        assert "Показаны самые срочные: 2 из 3." in shown
    post(client, "/console/alerts/money_waits-9/acknowledge")
    assert "money_waits-9" not in client.get("/console/alerts/now").text


def test_what_a_newer_program_tells_of_is_left_out(console: Console) -> None:
    """Regression: who went back to the program before found an error where its alerts stand."""
    client, address = console.client("admin"), an_alert(console, Kind.OFFLINE)
    for state in ("open", "resolved"):
        newer = update(IncidentRow).values(kind="kind_of_tomorrow", state=state)
        console.cloud.database.transact(lambda tx, newer=newer: tx.session.execute(newer))
        pages = ("/console/alerts", "/console/alerts/now", address)
        assert [client.get(page).status_code for page in pages] == [200, 200, 404]
        assert post(client, f"{address}/acknowledge").status_code == 404


def test_an_alert_is_said_in_the_time_of_its_machine(console: Console) -> None:
    """Regression: its words were in the time of Moscow, the rest of the page in the machine's."""
    console.world.database.transact(lambda tx: tx.session.execute(update(Device).values(zone="Asia/Vladivostok")))
    address = an_alert(console, Kind.OFFLINE)
    page = console.client(f"owner@{OWN}").get(address, headers={"Accept-Language": "en"}).text
    since = (console.clock.now - TERMS[Kind.OFFLINE].pending).astimezone(ZoneInfo("Asia/Vladivostok"))
    assert f"No word from it since {since:%H:%M}" in html.unescape(page)


@pytest.mark.parametrize(
    ("language", "badge", "line"),
    [
        ("en", "nothing arrives", r"Nothing has arrived since .+: no connection\. We keep trying to send what waits\."),
        ("ru", "не доходит", r"Сообщения не доходят с .+: нет связи\. Продолжаем отправлять то, что ждёт\."),
    ],
)
def test_a_channel_that_nothing_reaches_is_not_said_to_work(
    console: Console, language: str, badge: str, line: str
) -> None:
    """Regression: it was green while an alert about it was open, and no page said why."""
    terms = channel_settings.ChannelTerms("telegram", "ours", "-100500")
    channel, _ = console.cloud.database.transact(
        channel_settings.add, OWN, terms, console.world.vault, console.clock.now
    )  # fmt: skip

    def fail(tx: Transaction) -> None:
        held = channel_settings.of_id(tx, channel.id)
        held.failing_since, held.failing_why = console.clock.now, Why.NO_CONNECTION

    console.cloud.database.transact(fail)
    pages = [
        html.unescape(console.client(f"owner@{OWN}").get(address, headers={"Accept-Language": language}).text)
        for address in ("/console/alerts/channels", f"/console/alerts/channels/{channel.id}")
    ]
    assert f'<span class="badge warn">{badge}</span>' in pages[0]
    assert re.search(line, pages[1])


@pytest.mark.parametrize("wrong", ["nan", "inf", "-1e999", "soon"])
def test_a_time_that_is_no_number_changes_nothing(console_on_each: Console, wrong: str) -> None:
    """Regression: "nan" passed every bound; PostgreSQL refused it in the journal, SQLite forgot the rule's time."""
    owner = console_on_each.client(f"owner@{OWN}")
    for minutes in ("9", wrong):
        form = {"on-offline": "1", "pending-offline": minutes}
        assert post(owner, "/console/alerts/rules/save", merchant=OWN, **form).status_code == 303
        with console_on_each.cloud.database.read() as session:
            assert rules_of(session, OWN)[Kind.OFFLINE].pending_s == 540


def test_a_new_channel_tells_the_hours_of_its_merchants_books(console: Console) -> None:
    """Regression: Moscow's, wherever the merchant is."""
    console.cloud.database.transact(lambda tx: tx.session.execute(update(Merchant).values(zone="Asia/Vladivostok")))
    manager = console.client(f"manager@{OWN}")
    form = {"merchant": OWN, "kind": "email", "name": "ours", "address": "ours@example.org"}
    channel = post(manager, "/console/alerts/channels/add", **form).headers["Location"]
    assert 'value="Asia/Vladivostok"' in manager.get(channel).text


@pytest.mark.parametrize("zone", ["Europe", "Asia", "Mars", "../zone", "z" * 300], ids=lambda zone: zone[:10])
def test_a_zone_that_is_none_is_told_to_be_none(console: Console, zone: str) -> None:
    """Regression: a folder of zones, or a very long name, and the page failed."""
    manager = console.client(f"manager@{OWN}")
    form = {"merchant": OWN, "kind": "email", "name": "ours", "address": "ours@example.org"}
    channel = post(manager, "/console/alerts/channels/add", **form).headers["Location"]
    saved = post(manager, f"{channel}/save", **form, zone=zone)
    assert (saved.status_code, saved.headers["Location"]) == (303, channel)
    shown = manager.get(channel).text
    assert "Такого часового пояса нет." in shown
    assert 'value="Europe/Moscow"' in shown


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Too many tests have been sent in the last hour. Try again later."),
        ("ru", "За последний час отправлено слишком много пробных сообщений. Попробуйте позже."),
    ],
)
def test_an_address_is_not_flooded_with_tests(
    console_on_each: Console, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    """Regression: each press was one more letter to whatever address. A channel made anew does not begin anew."""
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_CHANNEL", 2)
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_MERCHANT", 3)
    console, manager = console_on_each, console_on_each.client(f"manager@{OWN}")
    manager.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
    form = {"merchant": OWN, "kind": "email", "name": "stranger", "address": "stranger@example.org"}

    def presses() -> list[bool]:
        """Whether each of three presses at a new channel sends a test, which arrives at once."""
        channel, sent = post(manager, "/console/alerts/channels/add", **form).headers["Location"], []
        for _ in range(3):
            post(manager, f"{channel}/test")
            console.cloud.database.transact(_all_told, console.clock.now)
            sent.append(words not in html.unescape(manager.get(channel).text))
        post(manager, f"{channel}/remove")
        return sent

    assert [presses(), presses()] == [[True, True, False], [True, False, False]]
    with console.cloud.database.read() as session:
        assert session.scalar(select(func.count()).select_from(OutboxRow)) == 3
    console.clock.advance(3601)
    assert presses() == [True, True, False]


def _all_told(tx: Transaction, now: datetime) -> None:
    tx.session.execute(update(AlertMessage).values(told_at=now, task_due_at=None))
