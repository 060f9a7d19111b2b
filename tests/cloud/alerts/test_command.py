"""`coffee-cloud alerts`, for who has no console at hand."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.models import JournalRow
from cloud.alerts import channel_settings
from cloud.alerts.channels.sender import NotNow, Refused, Why
from cloud.alerts.models import Channel, IncidentRow
from cloud.cli import main
from cloud.fleet.models import Merchant
from tests.cloud.alerts.desk import GROUP, Acting, Desk
from tests.cloud.worlds import DEVICE, SECRET_KEY


def alerts(desk: Desk, *words: str) -> Result:
    url = desk.world.database.url.render_as_string(hide_password=False)
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": url}
    return CliRunner().invoke(main, ["alerts", *words], env=settings)


def test_a_channel_that_nothing_reaches_is_not_listed_as_good(sqlite_desk: Desk) -> None:
    """Regression: "ok", while an alert about that channel was open."""
    channel = sqlite_desk.channel()
    assert "  ok  " in alerts(sqlite_desk, "channels").output
    sqlite_desk.senders["telegram"] = Acting(lambda *_: NotNow(30.0, Why.NO_CONNECTION))
    sqlite_desk.world.database.transact(channel_settings.test, channel, sqlite_desk.world.now)
    sqlite_desk.pass_time(30)
    since = f"{sqlite_desk.world.now:%Y-%m-%d %H:%M}Z"
    assert f"nothing arrives since {since} (no connection)" in alerts(sqlite_desk, "channels").output


def test_what_a_newer_program_tells_of_is_left_out(sqlite_desk: Desk) -> None:
    """Regression: after going back the list ended with an error."""
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(160)
    listed = alerts(sqlite_desk, "list")
    assert (listed.exit_code, f"Machine offline: {DEVICE}" in listed.output) == (1, True)
    incident = listed.output.split()[0]
    newer = update(IncidentRow).values(kind="kind_of_tomorrow")
    sqlite_desk.world.database.transact(lambda tx: tx.session.execute(newer))
    told = alerts(sqlite_desk, "list")
    assert (told.exit_code, told.output) == (0, "")
    told = alerts(sqlite_desk, "acknowledge", incident, "--by", "anna")
    assert (told.exit_code, told.output) == (1, f"there is none of this id: {incident}\n")


def test_a_channel_tells_the_hours_of_its_merchants_books(sqlite_desk: Desk) -> None:
    """Regression: Moscow's, wherever the merchant is."""
    desk = sqlite_desk  # it is noon in Moscow
    desk.world.database.transact(lambda tx: tx.session.execute(update(Merchant).values(zone="Asia/Vladivostok")))
    alerts(desk, "add", "north", "email", "ops@example.org")
    platforms = alerts(desk, "add", "platform", "email", "we@example.org").output.split()[1]
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    [message] = desk.messages("ops@example.org")
    assert "19:00" in message.text
    with desk.world.database.read() as session:
        assert session.get_one(Channel, platforms).zone == "Europe/Moscow"


def test_each_act_is_in_the_journal(sqlite_desk: Desk) -> None:
    """Regression: of what the console writes down, the command line wrote nothing."""
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(160)
    channel = alerts(sqlite_desk, "add", "north", "email", "ops@example.org").output.split()[1]
    incident = alerts(sqlite_desk, "list").output.split()[0]
    for words in (("test", channel), ("acknowledge", incident, "--by", "anna"), ("remove", channel)):
        assert alerts(sqlite_desk, *words).exit_code == 0
    with sqlite_desk.world.database.read() as session:
        rows = session.scalars(select(JournalRow).order_by(JournalRow.id)).all()
    assert {(row.who.partition(":")[0], row.who_name, row.merchant_id) for row in rows} == {
        ("cli", "coffee-cloud", "north")
    }
    added, tested, acknowledged, removed = rows
    assert [row.act for row in rows] == ["edit_alerts", "edit_alerts", "acknowledge", "edit_alerts"]
    assert {row.object_id for row in (added, tested, removed)} == {channel}
    assert (acknowledged.object_id, acknowledged.device_uuid) == (incident, DEVICE)
    assert acknowledged.after == {"acknowledged_by": "anna"}
    assert added.after is not None
    assert added.after["address"] == "ops@example.org"
    assert (added.before, removed.before, removed.after) == ({}, added.after, {})


def test_no_more_tests_are_sent_than_an_hour_allows(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_CHANNEL", 1)
    channel = sqlite_desk.channel()
    assert [alerts(sqlite_desk, "test", channel).exit_code for _ in range(2)] == [0, 0]
    sqlite_desk.pass_time(30)
    refused = alerts(sqlite_desk, "test", channel)
    assert (refused.exit_code, refused.output) == (1, "no test is sent: too many tests in the last hour\n")
    assert len(sqlite_desk.messages()) == 1


def test_a_broken_channel_is_tested_until_it_is_mended(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the fifth refusal left it broken for an hour, however soon its server or its address was right."""
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_CHANNEL", 2)
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_BROKEN_CHANNEL", 3)
    channel, telegram = sqlite_desk.channel(), sqlite_desk.senders["telegram"]
    sqlite_desk.senders["telegram"] = Acting(lambda *_: Refused("no such chat"))
    for refused in (0, 0, 0, 0, 1):
        assert alerts(sqlite_desk, "test", channel).exit_code == refused
        sqlite_desk.pass_time(30)
    sqlite_desk.senders["telegram"] = telegram
    mended = channel_settings.ChannelTerms("telegram", "ours", GROUP)
    sqlite_desk.world.database.transact(channel_settings.change, channel, mended)
    assert alerts(sqlite_desk, "test", channel).exit_code == 0
    sqlite_desk.pass_time(30)
    assert len(sqlite_desk.messages()) == 1
    assert alerts(sqlite_desk, "test", channel).exit_code == 1


def test_tests_of_before_the_clock_was_set_back_are_not_of_the_last_hour(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_settings, "TESTS_OF_A_CHANNEL", 1)
    channel = sqlite_desk.channel()
    tested = Entry(Act.EDIT_ALERTS, Author("ann", "Ann"), Subject("channel", channel, "north"), after={"test": True})
    sqlite_desk.world.database.transact(record, tested, datetime.now(UTC) + timedelta(hours=3))
    assert alerts(sqlite_desk, "test", channel).exit_code == 0


def test_what_is_refused_is_not_in_the_journal(sqlite_desk: Desk) -> None:
    assert alerts(sqlite_desk, "add", "north", "email", "nobody").exit_code == 2
    assert alerts(sqlite_desk, "remove", "nowhere").exit_code == 1
    with sqlite_desk.world.database.read() as session:
        assert session.scalars(select(JournalRow)).all() == []
