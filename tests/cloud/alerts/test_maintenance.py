"""About a machine that is worked on nobody is disturbed, whatever was told of it before (crowds: `test_watch.py`)."""

from datetime import time

import pytest

from tests.cloud.alerts.desk import GROUP, Desk
from tests.cloud.worlds import DEVICE, OTHER_DEVICE


def test_maintenance_is_silent(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    desk.maintain([DEVICE], hours=1)
    desk.presence(DEVICE, online=False)
    desk.presence(OTHER_DEVICE, online=False)
    desk.pass_time(600)
    assert [OTHER_DEVICE in message.text for message in desk.messages()] == [True]
    desk.pass_time(3300, every=300)
    assert len(desk.messages()) == 2


@pytest.mark.parametrize(("kind", "heads"), [("telegram", ["🟢"]), ("email", ["🔴", "🟢"])])
def test_maintenance_silences_what_was_told_before(sqlite_desk: Desk, kind: str, heads: list[str]) -> None:
    """Regression: "still" came every four hours, though nobody was to be disturbed about this machine."""
    desk, to = sqlite_desk, {"telegram": GROUP, "email": "ops@example.org"}[kind]
    desk.channel(kind, to)
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    desk.maintain([DEVICE], hours=24)
    desk.pass_time(9 * 3600, every=600)
    for online in (True, False, True, False):  # it comes and goes
        desk.presence(DEVICE, online=online)
        desk.pass_time(60)
    assert len(desk.messages(to)) == 1
    desk.presence(DEVICE, online=True)
    desk.pass_time(2 * 3600, every=300)
    assert [message.text[:1] for message in desk.messages(to)] == heads


def test_what_lasts_at_the_end_of_maintenance_is_repeated(sqlite_desk: Desk) -> None:
    sqlite_desk.channel()
    sqlite_desk.presence(DEVICE, online=False)
    sqlite_desk.pass_time(160)
    sqlite_desk.maintain([DEVICE], hours=6)
    sqlite_desk.pass_time(6 * 3600 - 60, every=300)
    assert len(sqlite_desk.messages()) == 1
    sqlite_desk.pass_time(120)
    assert len(sqlite_desk.messages()) == 2


def test_what_waits_for_the_morning_is_not_told_of_a_machine_that_is_worked_on(sqlite_desk: Desk) -> None:
    """Regression: it was asked at night alone whether anybody is to be disturbed."""
    desk = sqlite_desk
    desk.channel(quiet_begin=time(11), quiet_end=time(13))  # it is noon in Moscow
    desk.presence(DEVICE, online=False)
    desk.pass_time(600)
    desk.maintain([DEVICE], hours=3)
    desk.pass_time(7200, every=300)
    assert desk.messages() == []
    desk.pass_time(3600, every=300)
    assert [DEVICE in message.text for message in desk.messages()] == [True]
