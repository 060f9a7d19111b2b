"""Channels that refuse, fail or do not answer: how they are tried on, and what the others hear of it."""

import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import func, select

from cloud.alerts import channel_settings, people
from cloud.alerts.channels.http import Answer, Http
from cloud.alerts.channels.letters import Letters
from cloud.alerts.channels.max_messenger import MaxMessenger
from cloud.alerts.channels.sender import Address, Delivered, Letter, NotNow, Refused, Unknown, Why
from cloud.alerts.channels.sender import Sending as Outcome
from cloud.alerts.channels.telegram import Telegram
from cloud.alerts.models import Channel
from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault
from cloud.orders.outbox import OutboxRow
from simulator.messengers.faults import FaultKind
from tests.cloud.alerts.desk import GROUP, Acting, Desk
from tests.cloud.worlds import DEVICE


def test_a_dead_channel_is_told_over_another_and_mended_by_a_test(sqlite_desk: Desk) -> None:
    dead = sqlite_desk.channel()
    sqlite_desk.channel("email", "ops@example.org")
    sqlite_desk.messengers.fault(FaultKind.REFUSED)
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(220)
    subjects = [letter.facts["subject"] for letter in sqlite_desk.messages("ops@example.org")]
    assert subjects == ["🔴 Автомат не на связи: m-001", "🔴 До канала «telegram of ours» сообщения не доходят"]
    assert sqlite_desk.broken(dead)[1] == "Forbidden: bot was kicked from the group chat"
    sqlite_desk.world.database.transact(channel_settings.test, dead, sqlite_desk.world.now)
    sqlite_desk.pass_time(60)
    assert sqlite_desk.broken(dead) == (None, "")
    assert [message.text.split()[0] for message in sqlite_desk.messages()] == ["Это", "🔴"]  # then what it had missed


@pytest.mark.any_database
@pytest.mark.parametrize("kind", ["telegram", "email"])
def test_a_channel_hears_of_what_ended_while_it_was_broken(desk: Desk, kind: str) -> None:
    """Regression: mended half an hour after the end or later it never did, and its message stayed red for ever."""
    to = {"telegram": GROUP, "email": "ops@example.org"}[kind]
    channel = desk.channel(kind, to, quiet_begin=time(22), quiet_end=time(8))
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    really, desk.senders[kind] = desk.senders[kind], Acting(lambda *_: Refused("no such chat"))
    _test(desk, channel)
    desk.pass_time(30)
    desk.presence(DEVICE, online=True)
    desk.pass_time(10.6 * 3600, every=600)  # from noon into the quiet hours
    assert desk.broken(channel)[0] is not None
    assert [message.text[:1] for message in desk.messages(to)] == ["🔴"]
    desk.senders[kind] = really
    _test(desk, channel)
    desk.pass_time(60)
    assert "🟢" not in [message.text[:1] for message in desk.messages(to)[1:]], "nothing new by night"
    desk.pass_time(10 * 3600, every=600)
    assert [message.text[:1] for message in desk.messages(to)] == {
        "telegram": ["🟢", "Э"], "email": ["🔴", "Э", "🟢"],
    }[kind]  # fmt: skip


def test_an_end_that_cannot_be_written_into_its_message_comes_as_a_new_one(
    sqlite_desk: Desk, mocker: MockerFixture
) -> None:
    """Regression: the same change was refused again after each test, and broke the channel for ninety days."""
    desk, channel = sqlite_desk, sqlite_desk.channel()
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    mocker.patch.object(Telegram, "change", return_value=Refused("it is too old"))
    desk.presence(DEVICE, online=True)
    desk.pass_time(3600, every=60)
    assert desk.broken(channel)[1] == "it is too old"
    _test(desk, channel)
    desk.pass_time(3600, every=60)
    assert desk.broken(channel) == (None, "")
    assert [message.text[:1] for message in desk.messages()] == ["🔴", "Э", "🟢"]


@pytest.mark.long
def test_what_was_told_in_one_chat_is_not_written_into_another(sqlite_desk: Desk) -> None:
    """Numbers of messages are small, and each chat counts its own."""
    desk = sqlite_desk
    channel = desk.channel()
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)

    def move(tx: Transaction) -> None:
        channel_settings.move(tx, tx.session.get_one(Channel, channel), "-100777")

    desk.world.database.transact(move)
    desk.presence(DEVICE, online=True)
    desk.pass_time(3 * 3600, every=60)
    assert [message.text[:1] for message in desk.messages()] == ["🔴"]
    assert [message.text[:1] for message in desk.messages("-100777")] == ["🟢"]


def test_a_messenger_that_nobody_can_reach_is_told_over_another_and_tried_on(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    desk.channel("email", "ops@example.org")
    reached = desk.senders["telegram"]
    desk.senders["telegram"] = Telegram(desk.messengers.token, "http://127.0.0.1:9", Http())
    desk.presence(DEVICE, online=False)
    desk.pass_time(900)
    subjects = [letter.facts["subject"] for letter in desk.messages("ops@example.org")]
    assert subjects == ["🔴 Автомат не на связи: m-001", "🔴 До канала «telegram of ours» сообщения не доходят"]
    desk.senders["telegram"] = reached
    desk.pass_time(120)
    assert [message.text[:1] for message in desk.messages()] == ["🔴"]
    desk.pass_time(400)
    assert ("channel_broken", "resolved") in {(kind, state) for kind, _, state in desk.incidents()}


@pytest.mark.parametrize(("kind", "dead"), [("telegram", "7:revoked"), ("telegram", "none"), ("max", "revoked")])
def test_while_our_token_is_dead_alerts_wait_for_the_restart(sqlite_desk: Desk, kind: str, dead: str) -> None:
    """Regression: each channel was broken for ever, until a person had sent a test there."""
    desk = sqlite_desk
    channel = desk.channel(kind)
    desk.channel("email", "ops@example.org")
    accepted, url = desk.senders[kind], desk.messengers.address
    desk.senders[kind] = Telegram(dead, url, Http()) if kind == "telegram" else MaxMessenger(dead, f"{url}/max", Http())
    desk.presence(DEVICE, online=False)
    desk.pass_time(900)
    assert desk.broken(channel) == (None, "")
    subjects = [letter.facts["subject"] for letter in desk.messages("ops@example.org")]
    assert subjects == ["🔴 Автомат не на связи: m-001", f"🔴 До канала «{kind} of ours» сообщения не доходят"]
    desk.senders[kind] = accepted
    desk.pass_time(600)
    assert [message.text[:1] for message in desk.messages()] == ["🔴"]


@pytest.mark.long
def test_a_dead_token_is_not_healed_by_having_nothing_more_to_tell(sqlite_desk: Desk) -> None:
    """Regression: the machine came back, and the others heard that the channel was mended."""
    desk = sqlite_desk
    channel = desk.channel()
    desk.channel("email", "ops@example.org")
    accepted = desk.senders["telegram"]
    desk.senders["telegram"] = Telegram("7:revoked", desk.messengers.address, Http())
    desk.presence(DEVICE, online=False)
    desk.pass_time(1200)
    desk.presence(DEVICE, online=True)
    desk.pass_time(3 * 3600, every=120)
    assert _failing(desk, channel)
    assert ("channel_broken", channel, "open") in desk.incidents()
    desk.senders["telegram"] = accepted
    desk.world.database.transact(channel_settings.test, channel, desk.world.now)
    desk.pass_time(600)
    assert not _failing(desk, channel)
    assert ("channel_broken", channel, "resolved") in desk.incidents()


def test_a_kind_of_channel_that_is_not_set_up_waits_until_it_is(sqlite_desk: Desk) -> None:
    """Regression: a server started without the token broke every channel, until a person had sent a test there."""
    channel = sqlite_desk.channel()
    telegram = sqlite_desk.senders.pop("telegram")
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(300)
    assert sqlite_desk.broken(channel) == (None, "")
    assert _failing_why(sqlite_desk, channel) == Why.NOT_SET_UP
    sqlite_desk.senders["telegram"] = telegram
    sqlite_desk.pass_time(120)
    assert [message.text[:1] for message in sqlite_desk.messages()] == ["🔴"]


def test_a_secret_that_fits_no_key_waits_for_its_key(sqlite_desk: Desk) -> None:
    """Regression: a server started without its old key broke every program's channel."""
    desk = sqlite_desk
    channel = desk.channel("webhook", "https://merchant.example/hook")

    def lead(secret: str) -> str:
        def work(tx: Transaction) -> str:
            held = tx.session.get_one(Channel, channel)
            before, held.secret = held.secret, secret
            held.address = f"{desk.messengers.address}/program/ours"
            return before

        return desk.world.database.transact(work)

    readable = lead(Vault("another secret text of more than thirty-two characters").lock("s"))
    desk.presence(DEVICE, online=False)
    desk.pass_time(300)
    assert desk.broken(channel) == (None, "")
    assert _failing_why(desk, channel) == Why.SECRET_UNREADABLE
    lead(readable)
    desk.pass_time(120)
    assert [call.facts["said"]["word"] for call in desk.messages("ours")] == ["open"]


@pytest.mark.parametrize("code", [530, 535])
def test_a_mail_server_that_refuses_our_login_breaks_no_channel(sqlite_desk: Desk, code: int) -> None:
    """Regression: a changed password broke every mailbox's channel."""
    desk = sqlite_desk
    channel = desk.channel("email", "ops@example.org")
    accepted = desk.senders["email"]
    with _locked_mail_server(code) as url:
        desk.senders["email"] = Letters(url, "alerts@example.org", desk.world.clock)
        desk.presence(DEVICE, online=False)
        desk.pass_time(300)
    assert desk.broken(channel) == (None, "")
    assert _failing_why(desk, channel) == Why.LOGIN_REFUSED
    desk.senders["email"] = accepted
    desk.pass_time(120)
    assert [letter.facts["subject"][:1] for letter in desk.messages("ops@example.org")] == ["🔴"]


def test_a_login_that_is_refused_at_once_is_told_as_such(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Letters) -> smtplib.SMTP:
        raise smtplib.SMTPAuthenticationError(535, b"no")

    monkeypatch.setattr(Letters, "_connect", refused)
    sender = Letters("smtps://user:old@mail.example", "alerts@example.org", sqlite_desk.world.clock)
    answer = sender.send(Address("ops@example.org"), Letter("k", "s", "t"))
    assert isinstance(answer, NotNow)
    assert answer.why == Why.LOGIN_REFUSED


def test_a_chat_that_is_not_there_breaks_its_channel(sqlite_desk: Desk) -> None:
    """With a token that is good MAX says 404 of the chat."""
    channel = sqlite_desk.channel("max", "-77")
    elsewhere = f"{sqlite_desk.messengers.address}/nowhere"
    sqlite_desk.senders["max"] = MaxMessenger(sqlite_desk.messengers.token, elsewhere, Http())
    sqlite_desk.world.database.transact(channel_settings.test, channel, sqlite_desk.world.now)
    sqlite_desk.pass_time(30)
    assert sqlite_desk.broken(channel)[1] == "HTTP 404"


@pytest.mark.long
def test_a_channel_whose_last_message_was_withdrawn_is_not_failing(sqlite_desk: Desk) -> None:
    """Regression: nothing was tried any more, so for ever nothing had reached it."""
    desk = sqlite_desk
    desk.channel()
    desk.channel("email", "ops@example.org")
    desk.senders["telegram"] = Acting(_not_now)
    desk.presence(DEVICE, online=False)
    desk.pass_time(200)
    desk.presence(DEVICE, online=True)
    desk.pass_time(6 * 3600, every=120)
    subjects = [letter.facts["subject"] for letter in desk.messages("ops@example.org")]
    assert subjects == ["🔴 Автомат не на связи: m-001", "🟢 Устранено: Автомат не на связи: m-001"]


@pytest.mark.long
def test_a_dead_channel_that_is_still_to_be_told_of_a_trouble_stays_failing(sqlite_desk: Desk) -> None:
    """Regression: after a day its message was given up, and the others heard that the channel was mended."""
    desk = sqlite_desk
    channel = desk.channel()
    desk.senders["telegram"] = Acting(_not_now)
    desk.presence(DEVICE, online=False)
    desk.pass_time(600)
    begun = _failing_since(desk, channel)
    assert begun is not None
    desk.pass_time(25 * 3600, every=900)
    assert _failing_since(desk, channel) == begun


@pytest.mark.long
@pytest.mark.parametrize("mend", ["given up", "changed", "linked"])
def test_a_channel_that_is_set_up_anew_or_given_up_is_not_failing(sqlite_desk: Desk, mend: str) -> None:
    desk, transact = sqlite_desk, sqlite_desk.world.database.transact
    channel = desk.channel()
    desk.senders["telegram"] = Acting(_not_now)
    transact(channel_settings.test, channel, desk.world.now)
    desk.pass_time(60)
    assert _failing(desk, channel)
    if mend == "given up":
        desk.pass_time(25 * 3600, every=600)
    elif mend == "changed":
        transact(channel_settings.change, channel, channel_settings.ChannelTerms("telegram", "ours", GROUP))
    else:
        code = transact(people.new_code, "channel", channel, desk.world.now)
        transact(people.link, "telegram", "42", GROUP, code, desk.world.now)
    assert not _failing(desk, channel)


@pytest.mark.long
@pytest.mark.any_database
def test_a_dead_channel_is_tried_ever_more_seldom_and_holds_up_nobody(desk: Desk) -> None:
    """Regression: each of its messages took a thread every half a minute for a day."""
    dead, living = desk.channel("max", "-77"), desk.channel()
    reached = desk.senders["max"]
    desk.senders["max"] = Acting(_not_now)
    desk.write(dead, 28)
    desk.write(living)
    desk.pass_time(60, every=4)
    assert len(desk.messages()) == 1
    desk.pass_time(3600, every=30)
    assert 20 < desk.deliveries().count("notnow") < 40
    desk.senders["max"] = reached
    desk.pass_time(3600 / 8, every=30)
    desk.pass_time(120, every=5)
    assert len(desk.messages("-77")) == 28


def test_few_messages_of_a_channel_are_sent_at_a_time(desk: Desk) -> None:
    channel = desk.channel()
    other = Desk(desk.world, desk.messengers, owner="w2")
    held: list[int] = []

    def slow(*_: object) -> Outcome:
        with desk.world.database.read() as session:
            held.append(session.scalar(select(func.count()).where(OutboxRow.claimed_until.is_not(None))) or 0)
        other.alert_sender.step(desk.world.now)  # meanwhile
        return Delivered()

    desk.senders["telegram"] = Acting(slow)
    desk.write(channel, 10)
    desk.pass_time(60, every=3)
    assert desk.deliveries() == ["delivered"] * 10
    assert max(held) <= 2


def test_a_message_that_always_fails_does_not_keep_back_the_others(sqlite_desk: Desk) -> None:
    channel = sqlite_desk.channel()
    poison: list[str] = []

    def choosy(_: Address, letter: Letter) -> Outcome:
        poison.append(letter.key)
        return Unknown("HTTP 500") if letter.key == poison[0] else Delivered()

    sqlite_desk.senders["telegram"] = Acting(choosy)
    sqlite_desk.write(channel, 5)
    sqlite_desk.pass_time(90, every=2)
    assert sqlite_desk.deliveries().count("delivered") == 4


def test_nobody_is_left_alone_longer_than_an_hour_by_what_it_asks_for(sqlite_desk: Desk) -> None:
    """Regression: a wait of more than 25 hours was taken for a date of before the clock was set back: tried at once."""
    channel = sqlite_desk.channel()
    sqlite_desk.senders["telegram"] = Acting(lambda *_: NotNow(30 * 3600.0, "later"))
    sqlite_desk.world.database.transact(channel_settings.test, channel, sqlite_desk.world.now)
    sqlite_desk.pass_time(3600)
    assert sqlite_desk.deliveries() == ["notnow"]
    sqlite_desk.pass_time(60)
    assert sqlite_desk.deliveries() == ["notnow", "notnow"]


@pytest.mark.parametrize("seconds", ["inf", "nan", "-5"])
def test_a_wait_that_is_no_time_is_still_an_answer(sqlite_desk: Desk, seconds: str) -> None:
    """Regression: a number longer than any time was an error of ours, and the task stayed held."""
    channel = sqlite_desk.channel()
    sqlite_desk.senders["telegram"] = Acting(lambda *_: NotNow(float(seconds), "later"))
    sqlite_desk.world.database.transact(channel_settings.test, channel, sqlite_desk.world.now)
    sqlite_desk.pass_time(30)
    assert sqlite_desk.deliveries() == ["notnow"]


def _not_now(*_: object) -> Outcome:
    return NotNow(30.0, Why.NO_CONNECTION)


@contextmanager
def _locked_mail_server(code: int) -> Iterator[str]:
    """A mail server that takes nothing from us; its address."""

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail\r\n")
            codes = {b"MAIL": code, b"QUIT": 221}
            for line in self.rfile:
                self.wfile.write(b"%d as told\r\n" % codes.get(line[:4].upper(), 250))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _test(desk: Desk, channel: str) -> None:
    desk.world.database.transact(channel_settings.test, channel, desk.world.now)


def _failing(desk: Desk, channel_id: str) -> bool:
    return _failing_since(desk, channel_id) is not None


def _failing_since(desk: Desk, channel_id: str) -> datetime | None:
    with desk.world.database.read() as session:
        return session.get_one(Channel, channel_id).failing_since


def _failing_why(desk: Desk, channel_id: str) -> str:
    with desk.world.database.read() as session:
        return session.get_one(Channel, channel_id).failing_why


def test_a_message_that_is_gone_is_sent_anew_in_whatever_letters_it_is_told(mocker: MockerFixture) -> None:
    """Regression: this one comes in capitals, and broke the channel."""
    gone = Answer(400, {"description": "Bad Request: MESSAGE_ID_INVALID"})
    mocker.patch.object(Telegram, "call", side_effect=[gone, Answer(200, {"ok": True, "result": {"message_id": 8}})])
    bot = Telegram("1:a", "http://127.0.0.1:9", Http())
    assert bot.change(Address("7"), "5", Letter("k", "s", "t")) == Delivered("8")
