"""From a condition to a message in a real HTTP or SMTP server, whatever that server does."""

import hashlib
import hmac
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import time

import pytest
from sqlalchemy import func, select, update

from cloud.access.models import JournalRow
from cloud.alerts import channel_settings, people
from cloud.alerts.channels.http import Http
from cloud.alerts.channels.letters import Letters
from cloud.alerts.channels.sender import Address, Letter, NotNow, Refused, Why
from cloud.alerts.channels.sender import Sending as Outcome
from cloud.alerts.channels.signed_webhook import SignedWebhook
from cloud.alerts.models import AlertMessage, Channel, Delivery, IncidentRow, Rule
from cloud.database.transaction import Transaction
from cloud.orders.outbox import OutboxRow
from simulator.messengers.faults import FaultKind
from tests.cloud.alerts.desk import GROUP, Acting, Desk, a_desk, annas_code
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, a_world


def test_an_unplugged_machine_is_one_message_that_changes(desk: Desk) -> None:
    desk.channel()
    desk.presence(DEVICE, online=False)
    desk.pass_time(130)
    assert desk.messages() == []
    desk.pass_time(20)
    [message] = desk.messages()
    assert message.text.startswith("🔴 Автомат не на связи: m-001")
    assert re.search(r"^Что делать: https://\S+/console/alerts/[0-9a-f]{32}$", message.text, re.M)
    assert [each["text"] for each in message.buttons] == ["Принять", "Отложить на час"]
    desk.presence(DEVICE, online=True)
    desk.pass_time(330)
    [message] = desk.messages()
    assert message.text.startswith("🟢 Устранено: Автомат не на связи: m-001")
    assert message.buttons == []
    assert desk.incidents() == [("offline", DEVICE, "resolved")]


def test_forty_at_once_are_one_message(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    names = desk.machines(40)
    for name in names:
        desk.presence(name, online=False)
        desk.world.clock.advance(1)
    desk.pass_time(200)
    [message] = desk.messages()
    assert "Не на связи автоматов: 40 из 42" in message.text
    for name in names[:30]:
        desk.presence(name, online=True)
    desk.pass_time(60)
    [message] = desk.messages()
    assert message.text.splitlines()[3] == f"Всё ещё не на связи: {', '.join(names[30:])}"


def test_one_of_a_crowd_that_came_back_and_went_again_is_told_by_itself(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    names = desk.machines(10)
    for name in names:
        desk.presence(name, online=False)
    desk.pass_time(160)
    desk.presence(names[0], online=True)
    desk.pass_time(200)
    desk.presence(names[0], online=False)
    desk.pass_time(200)
    crowd, one = desk.messages()
    assert names[0] not in crowd.text
    assert names[0] in one.text


def test_each_channel_says_it_in_its_own_way(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel("max", "-77", language="en")
    desk.channel("email", "ops@example.org")
    hook = desk.channel("webhook", "https://merchant.example/hook")
    desk.world.database.transact(_lead, hook, f"{desk.messengers.address}/program/ours")
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    desk.presence(DEVICE, online=True)
    desk.pass_time(330)
    [in_max] = desk.messages("-77")
    assert in_max.texts[0].startswith("🔴 Machine offline: m-001")
    assert in_max.text.startswith("🟢 Over: Machine offline: m-001")
    [opened] = desk.messages("ops@example.org")
    assert opened.facts["subject"] == "🔴 Автомат не на связи: m-001"
    calls = desk.messages("ours")
    assert [call.facts["said"]["word"] for call in calls] == ["open", "resolved"]
    desk.pass_time(1800, every=300)
    assert [letter.facts["subject"][:1] for letter in desk.messages("ops@example.org")] == ["🔴", "🟢"]


def test_a_call_to_a_program_is_signed(sqlite_desk: Desk) -> None:
    terms = channel_settings.ChannelTerms("webhook", "ours", "https://merchant.example/hook")
    channel, secret = sqlite_desk.world.database.transact(
        channel_settings.add, "north", terms, sqlite_desk.world.vault, sqlite_desk.world.now
    )
    sqlite_desk.world.database.transact(_lead, channel.id, f"{sqlite_desk.messengers.address}/program/ours")
    sqlite_desk.world.database.transact(channel_settings.test, channel.id, sqlite_desk.world.now)
    sqlite_desk.pass_time(20)
    [call] = sqlite_desk.messages("ours")
    at, signed = (part.partition("=")[2] for part in call.facts["signature"].split(","))
    wanted = hmac.new(secret.encode(), f"{at}.".encode() + call.facts["body"], hashlib.sha256).hexdigest()
    assert signed == wanted
    assert secret not in json.dumps(vars(channel), default=str)


def test_a_merchants_address_does_not_lead_into_our_network(sqlite_desk: Desk) -> None:
    hook = SignedWebhook(Http(public_only=True), sqlite_desk.world.clock)
    answer = hook.send(Address(f"{sqlite_desk.messengers.address}/program/ours", "s"), Letter("k", "s", "t"))
    assert answer == Refused(Why.NOT_PUBLIC)
    assert sqlite_desk.messages("ours") == []


@pytest.mark.parametrize("kind", ["telegram", "max", "email"])
def test_an_answer_that_was_lost_is_sent_again_and_says_so(sqlite_desk: Desk, kind: str) -> None:
    to = {"telegram": GROUP, "max": "-77", "email": "ops@example.org"}[kind]
    sqlite_desk.channel(kind, to)
    sqlite_desk.messengers.fault(FaultKind.LOST_ANSWER)
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(220)
    first, second = sqlite_desk.messages(to)
    assert "возможно, уже приходило" not in first.text
    assert "возможно, уже приходило" in second.text
    assert first.facts.get("message-id") == second.facts.get("message-id")
    assert sqlite_desk.deliveries() == ["unknown", "delivered"]


def test_a_password_is_not_said_to_a_mail_server_without_tls(sqlite_desk: Desk) -> None:
    url = sqlite_desk.messengers.mailbox.url.replace("://", "://user:secret@")
    sender = Letters(url, "alerts@example.org", sqlite_desk.world.clock)
    assert isinstance(sender.send(Address("ops@example.org"), Letter("k", "s", "t")), NotNow)
    assert sqlite_desk.messages("ops@example.org") == []


def test_too_many_messages_wait_as_long_as_they_are_told(sqlite_desk: Desk) -> None:
    sqlite_desk.channel()
    sqlite_desk.messengers.fault(FaultKind.TOO_MANY, seconds=100.0)
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(230)
    assert sqlite_desk.messages() == []
    sqlite_desk.pass_time(40)
    [message] = sqlite_desk.messages()
    assert "возможно" not in message.text  # certainly not sent before


def test_a_group_that_moved_is_followed(sqlite_desk: Desk) -> None:
    sqlite_desk.channel()
    sqlite_desk.messengers.fault(FaultKind.MOVED, to="-1009999")
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(180)
    assert [len(sqlite_desk.messages(chat)) for chat in (GROUP, "-1009999")] == [0, 1]


def test_a_summary_waits_for_the_end_of_quiet_hours_and_a_test_does_not(sqlite_desk: Desk) -> None:
    """Regression: the morning's summary came in them."""
    desk = sqlite_desk
    channel = desk.channel(quiet_begin=time(11), quiet_end=time(13))  # it is noon in Moscow
    desk.write(channel)
    desk.pass_time(55 * 60, every=60)
    assert desk.messages() == []
    desk.world.database.transact(channel_settings.test, channel, desk.world.now)
    desk.pass_time(60)
    assert len(desk.messages()) == 1
    desk.pass_time(20 * 60, every=60)
    assert [message.text for message in desk.messages()][1:] == ["Всё хорошо."]


def test_a_zone_that_nobody_knows_any_more_keeps_no_alert_untold(sqlite_desk: Desk) -> None:
    """Regression: a name that a later time zone database had dropped, in one channel, stopped all."""
    desk = sqlite_desk
    lost = desk.channel(quiet_begin=time(1), quiet_end=time(2))
    desk.channel("email", "ops@example.org")
    gone = update(Channel).where(Channel.id == lost).values(zone="Nowhere/Gone")
    desk.world.database.transact(lambda tx: tx.session.execute(gone))
    desk.presence(DEVICE, online=False)
    desk.pass_time(600)
    assert len(desk.messages()) == 1
    assert len(desk.messages("ops@example.org")) == 1


def test_what_happened_in_quiet_hours_is_one_digest(sqlite_desk: Desk) -> None:
    sqlite_desk.channel(quiet_begin=time(11), quiet_end=time(13))  # it is noon in Moscow
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(600)
    sqlite_desk.presence(OTHER_DEVICE, online=False)
    sqlite_desk.pass_time(2900, every=300)
    assert sqlite_desk.messages() == []
    sqlite_desk.pass_time(300)
    [digest] = sqlite_desk.messages()
    assert digest.text.splitlines()[0] == "За тихие часы:"
    assert [line[:1] for line in digest.text.splitlines()[2:]] == ["🔴", "🔴"]


def test_a_digest_tells_each_trouble_by_its_own_word(sqlite_desk: Desk) -> None:
    """Regression: all were marked with the first one's: one that was new was said to come and go at the next look."""
    desk = sqlite_desk
    desk.channel("email", "ops@example.org", quiet_begin=time(13), quiet_end=time(16))  # it is noon in Moscow
    desk.presence(DEVICE, online=False)
    desk.pass_time(5400, every=300)
    desk.presence(DEVICE, online=True)
    desk.pass_time(1800, every=300)
    desk.presence(OTHER_DEVICE, online=False)
    desk.pass_time(4 * 3600, every=300)
    _, digest = desk.messages("ops@example.org")
    assert [line[:1] for line in digest.text.splitlines()[2:4]] == ["🟢", "🔴"]
    desk.presence(OTHER_DEVICE, online=True)
    desk.pass_time(3600, every=300)
    subjects = [letter.facts["subject"] for letter in desk.messages("ops@example.org")[2:]]
    assert subjects == [f"🟢 Устранено: Автомат не на связи: {OTHER_DEVICE}"]


def test_a_digest_changes_no_message(sqlite_desk: Desk) -> None:
    """Regression: what was to be repeated after the quiet hours, and ended in them, overwrote the first one's."""
    desk = sqlite_desk
    desk.channel(quiet_begin=time(16), quiet_end=time(20))  # it is noon in Moscow
    for device in (DEVICE, OTHER_DEVICE):
        desk.presence(device, online=False)
    desk.pass_time(5 * 3600, every=300)
    for device in (DEVICE, OTHER_DEVICE):
        desk.presence(device, online=True)
    desk.pass_time(4 * 3600, every=300)
    told = [message.text.splitlines()[0] for message in desk.messages()]
    assert told == [f"🟢 Устранено: Автомат не на связи: {device}" for device in (DEVICE, OTHER_DEVICE)]


def test_over_goes_only_where_open_went(sqlite_desk: Desk) -> None:
    sqlite_desk.channel("email", "early@example.org")
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(200)
    sqlite_desk.presence(DEVICE, online=True)
    sqlite_desk.pass_time(400)
    sqlite_desk.channel("email", "late@example.org")
    sqlite_desk.pass_time(2400, every=300)
    assert [len(sqlite_desk.messages(to)) for to in ("early@example.org", "late@example.org")] == [2, 0]


class _Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("step", ["before", "after"])
def test_killed_while_sending_it_is_sent_when_the_lease_ends(
    desk: Desk, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.channel()
    desk.presence(DEVICE, online=False)
    telegram = desk.senders["telegram"]
    really = telegram.send

    def dying(address: Address, letter: Letter) -> Outcome:
        if step == "after":
            really(address, letter)
        raise _Killed

    desk.pass_time(130)
    with monkeypatch.context() as patched:
        patched.setitem(desk.senders, "telegram", Acting(dying))
        with pytest.raises(_Killed):
            desk.pass_time(30)
    desk.pass_time(120)
    messages = desk.messages()
    assert len(messages) == (2 if step == "after" else 1)
    assert "возможно, уже приходило" in messages[-1].text


@pytest.mark.parametrize("messenger", ["telegram", "max"])
def test_a_linked_person_acknowledges_with_a_button(sqlite_desk: Desk, messenger: str) -> None:
    desk = sqlite_desk
    presses = {"telegram": desk.presses, "max": desk.max_presses}[messenger]
    desk.channel(messenger)
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    [message] = desk.messages()
    desk.messengers.press(message, "Принять", by="42")
    presses.step(desk.world.now)
    assert desk.messengers.chats.answers[-1]["text"] == "Сначала привяжите этот чат к своему профилю в пульте"
    code = desk.world.database.transact(annas_code, desk.world.now)
    desk.messengers.write("42", "42", f"/start {code.lower()}")
    presses.step(desk.world.now)
    desk.messengers.press(message, "Принять", by="42")
    presses.step(desk.world.now)
    assert desk.messengers.chats.answers[-1]["text"] == "Принято"
    desk.pass_time(30)
    assert "Принял(а) Анна." in desk.messages()[0].text
    desk.pass_time(5 * 3600, every=1800)
    assert len(desk.messages()) == 1  # no repeats
    with desk.world.database.read() as session:
        [row] = session.scalars(select(JournalRow))
    assert (row.act, row.who_name, row.address) == ("acknowledge", "Анна", messenger)


def test_a_button_of_what_a_newer_program_tells_of_does_nothing(sqlite_desk: Desk) -> None:
    """Regression: after going back the loop of presses raised for it."""
    desk = sqlite_desk
    desk.channel()
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    code = desk.world.database.transact(annas_code, desk.world.now)
    desk.messengers.write("42", "42", f"/start {code}")
    desk.world.database.transact(lambda tx: tx.session.execute(update(IncidentRow).values(kind="kind_of_tomorrow")))
    desk.messengers.press(desk.messages()[0], "Принять", by="42")
    desk.presses.step(desk.world.now)
    assert desk.messengers.chats.answers[-1]["text"] != "Принято"


def test_a_chat_is_chosen_by_a_code_written_in_it(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    channel = desk.channel(address="0")
    code = desk.world.database.transact(people.new_code, "channel", channel, desk.world.now)
    desk.messengers.write(GROUP, "42", f"/link@coffee_bot {code}")
    desk.messengers.write("-1", "43", f"/link {code}")  # somebody else, with a code that is used
    desk.presses.step(desk.world.now)
    desk.world.database.transact(channel_settings.test, channel, desk.world.now)
    desk.pass_time(20)
    assert [message.text.split(":")[0] for message in desk.messages("-1")] == ["Такого кода нет, или он устарел"]
    assert len(desk.messages()) == 2  # that it is linked, and the test


def test_two_workers_make_one_incident_and_one_message(migrated_postgres_url: str) -> None:
    with a_world(migrated_postgres_url) as world, a_desk(world) as desk:
        other = Desk(world, desk.messengers, owner="w2")
        desk.channel()
        desk.presence(DEVICE, online=False)
        for _ in range(18):
            now = world.clock.advance(10)
            with ThreadPoolExecutor(2) as workers:
                list(workers.map(lambda each, at=now: (each.watch.step(at), each.alert_sender.step(at)), (desk, other)))
        assert len(desk.messages()) == 1
        assert desk.incidents() == [("offline", DEVICE, "open")]


def test_a_button_is_dead_after_ten_minutes_and_in_any_other_chat(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    other = desk.channel(address="-100600")
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    [message] = desk.messages()
    code = desk.world.database.transact(annas_code, desk.world.now)
    desk.messengers.write("42", "42", f"/start {code}")
    desk.world.clock.advance(601)
    desk.messengers.press(message, "Принять", by="42")
    stolen = desk.messages("-100600")[0]
    stolen.buttons = message.buttons
    desk.messengers.press(stolen, "Принять", by="42")
    desk.presses.step(desk.world.now)
    said = [answer["text"] for answer in desk.messengers.chats.answers[-2:]]
    assert said == ["Кнопка устарела, откройте пульт", "Сначала привяжите этот чат к своему профилю в пульте"]
    assert other


def test_a_merchants_rule_waits_shorter_or_is_off(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    rule = Rule(merchant_id="north", kind="offline", enabled=True, pending_s=10.0)
    desk.world.database.transact(lambda tx: tx.session.merge(rule))
    desk.presence(DEVICE, online=False)
    desk.pass_time(40, every=10)
    assert len(desk.messages()) == 1
    desk.world.database.transact(lambda tx: setattr(tx.session.get_one(Rule, ("north", "offline")), "enabled", False))
    desk.presence(OTHER_DEVICE, online=False)
    desk.pass_time(400)
    assert [message.text[:1] for message in desk.messages()] == ["🟢"]


def test_after_ninety_days_nothing_is_left_of_a_trouble(desk: Desk) -> None:
    channel = desk.channel()
    desk.world.database.transact(channel_settings.test, channel, desk.world.now)
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    desk.presence(DEVICE, online=True)
    desk.pass_time(400)
    kinds = (IncidentRow, AlertMessage, Delivery, OutboxRow)
    for days, left in ((89, True), (2, False)):
        desk.world.clock.advance(days * 86400)
        desk.watch.step(desk.world.now)
        with desk.world.database.read() as session:
            assert [bool(session.scalar(select(func.count()).select_from(kind))) for kind in kinds] == [left] * 4


def _lead(tx: Transaction, channel_id: str, url: str) -> None:
    tx.session.get_one(Channel, channel_id).address = url
