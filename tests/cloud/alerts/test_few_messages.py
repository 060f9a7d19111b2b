"""One trouble is few messages: whatever it does, whoever it happens to, and in whatever crowd."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from cloud.alerts.incident import Condition, State
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.quiet_hours import QuietHours
from cloud.alerts.telling import Listener, Word
from tests.cloud.alerts.story import LETTERS, MESSENGER, NOON, Story, offline

OURS = replace(MESSENGER, merchant_id=PLATFORM)


def _away(machine: str, begin_s: float, end_s: float, now: datetime) -> bool:
    return NOON + timedelta(seconds=begin_s) <= now < NOON + timedelta(seconds=end_s)


def test_a_blip_is_told_to_nobody() -> None:
    story = Story()
    story.pass_time(3600, lambda now: [offline("m", NOON)] if _away("m", 0, 110, now) else [])
    assert story.sent == []


@pytest.mark.parametrize(
    ("listener", "words"), [(MESSENGER, [["open", "resolved"]]), (LETTERS, [["open"], ["resolved"]])]
)
def test_a_trouble_is_told_once_it_has_lasted_and_when_it_is_over(listener: Listener, words: list[list[str]]) -> None:
    story = Story(listener=listener)
    story.pass_time(7200, lambda now: [offline("m", NOON)] if _away("m", 0, 1800, now) else [])
    assert [sent.words for sent in story.sent] == words
    assert timedelta(seconds=120) <= story.sent[0].at - NOON <= timedelta(seconds=140)


@pytest.mark.parametrize("listener", [MESSENGER, LETTERS], ids=["messenger", "letters"])
@pytest.mark.parametrize("half_s", [10, 60, 200, 400, 900])
def test_a_thousand_flips_are_two_messages_at_most(listener: Listener, half_s: int) -> None:
    story = Story(listener=listener)

    def flipping(now: datetime) -> list[Condition]:
        flip = int((now - NOON).total_seconds() // half_s)
        is_away = flip % 2 == 0 and flip < 1000
        return [offline("m", NOON + timedelta(seconds=flip * half_s))] if is_away else []

    acknowledged_after = 3 * 3600  # else it is repeated every four hours, as it should be
    story.pass_time(acknowledged_after, flipping)
    for name, incident in story.incidents.items():
        story.incidents[name] = replace(incident, acknowledged_at=story.now)
    story.pass_time(1000 * half_s + 7200 - acknowledged_after, flipping)
    news = [sent for sent in story.sent if sent.words[0] is not Word.RESOLVED]
    assert len(news) <= 2
    assert {incident.state for incident in story.incidents.values()} == {State.RESOLVED}
    assert story.sent[-1].words[-1] is Word.RESOLVED


def _no_worker(spells: Sequence[tuple[float, float]]) -> Callable[[datetime], Sequence[Condition]]:
    """Seen by each look that falls into one of these spells, in seconds from noon."""

    def seen(now: datetime) -> list[Condition]:
        is_down = any(_away("", begin_s, end_s, now) for begin_s, end_s in spells)
        return [Condition(Kind.WORKER_DOWN, PLATFORM, "", now)] if is_down else []

    return seen


@pytest.mark.parametrize("blip_s", [10, 25])
def test_a_worker_that_restarts_quickly_opens_nothing(blip_s: float) -> None:
    """Regression: two restarts were four changes, "unstable", critical, and hid offline machines for half an hour."""
    story = Story(listener=OURS)
    story.pass_time(3600, _no_worker([(begin_s, begin_s + blip_s) for begin_s in (60, 160, 260)]))
    assert (story.sent, [each.opened_at for each in story.incidents.values()]) == ([], [None])


def test_a_quick_restart_after_an_absence_does_not_bring_it_back() -> None:
    story = Story(listener=OURS)
    story.pass_time(3600, _no_worker([(60, 200), (900, 910)]))
    assert [sent.words for sent in story.sent] == [["open", "resolved"]]


def test_a_worker_that_is_away_again_and_again_is_unstable() -> None:
    story = Story(listener=OURS)
    story.pass_time(7200, _no_worker([(60, 200), (300, 400)]))
    assert [sent.words for sent in story.sent] == [["open", "unstable", "resolved"]]


def test_what_came_and_went_opens_only_when_it_is_there() -> None:
    story = Story()
    story.pass_time(1200, lambda now: [offline("m", now)] if any(_away("m", s, s + 20, now) for s in (0, 60)) else [])
    assert story.sent == []


def test_forty_machines_at_once_are_one_message_that_lists_who_is_still_down() -> None:
    story = Story()
    names = [f"m{number:02}" for number in range(40)]

    def gone(now: datetime) -> list[Condition]:
        passed = (now - NOON).total_seconds()
        return [offline(name, NOON + timedelta(seconds=number)) for number, name in enumerate(names)
                if number <= passed < 1200 + 60 * number]  # fmt: skip

    story.pass_time(3 * 3600, gone, machines=40)
    assert [(sent.of, sent.words[0], sent.words[-1]) for sent in story.sent] == [
        (Kind.MANY_OFFLINE, Word.OPEN, Word.RESOLVED)
    ]
    assert [len(facts["machines"]) for facts in story.sent[0].facts][:1] == [40]  # type: ignore[index]
    assert len(story.sent[0].words) > 20  # changed as they come back


def test_two_of_forty_are_told_one_by_one() -> None:
    story = Story()
    story.pass_time(600, lambda now: [offline("m1", NOON), offline("m2", NOON)], machines=40)
    assert [sent.of for sent in story.sent] == [Kind.OFFLINE, Kind.OFFLINE]


def test_until_somebody_acknowledges_it_is_repeated() -> None:
    story = Story()
    story.pass_time(9 * 3600, lambda now: [offline("m", NOON)])
    assert [sent.words for sent in story.sent] == [["open"], ["still"], ["still"]]
    known = story.incidents["north/offline/m"]
    story.incidents["north/offline/m"] = replace(known, acknowledged_at=story.now, acknowledged_by="anna")
    story.pass_time(9 * 3600, lambda now: [offline("m", NOON)])
    assert len(story.sent) == 3


def test_one_more_than_were_acknowledged_is_told() -> None:
    """Regression: whoever had acknowledged one stuck payment heard nothing of forty-nine that came later."""
    story = Story(listener=LETTERS)
    waits = {"payments": 2, "order": "o-1", "kopecks": 35_800}

    def wrong(_now: datetime) -> list[Condition]:
        return [Condition(Kind.MONEY_WAITS, "north", "", NOON, waits)]

    story.pass_time(600, wrong)
    known = story.incidents["north/money_waits/"]
    story.incidents["north/money_waits/"] = replace(known, acknowledged_at=story.now, acknowledged_by="anna")
    waits["payments"] = 1
    story.pass_time(9 * 3600, wrong)
    assert [sent.words for sent in story.sent] == [["open"]], "fewer are no news"
    waits["payments"] = 2
    story.pass_time(60, wrong)
    assert [sent.words for sent in story.sent] == [["open"], ["still"]]


def test_the_second_line_hears_of_what_nobody_acknowledged() -> None:
    story = Story(listener=replace(MESSENGER, is_second=True))
    story.pass_time(1900, lambda now: [offline("m", NOON)])
    assert story.sent == []
    story.pass_time(600, lambda now: [offline("m", NOON)])
    assert [sent.words for sent in story.sent] == [["open"]]


def test_the_second_line_is_not_called_for_what_is_about_to_end() -> None:
    """Regression: a failed drink is seen for 15 minutes and over after 15 more, in whose last seconds it was called."""
    story = Story(listener=replace(MESSENGER, is_second=True))
    drink = Condition(Kind.MAKE_FAILED, "north", "m", NOON)
    story.pass_time(3600, lambda now: [drink] if _away("m", 0, 915, now) else [])
    assert {incident.state for incident in story.incidents.values()} == {State.RESOLVED}
    assert story.sent == []


def test_what_comes_back_after_its_end_is_acknowledged_by_nobody_yet() -> None:
    """Regression: a day offline was one message, because an hour of it before had been acknowledged."""
    first, second = Story(), Story(listener=replace(MESSENGER, is_second=True))

    def twice(now: datetime) -> list[Condition]:
        gone = [(0, 3600), (3600 + 1200, 86400)]
        return [offline("m", NOON + timedelta(seconds=since)) for since, end in gone if _away("m", since, end, now)]

    for story in (first, second):
        story.pass_time(600, twice)
        known = story.incidents["north/offline/m"]
        story.incidents["north/offline/m"] = replace(known, acknowledged_at=story.now, acknowledged_by="anna")
        story.pass_time(6 * 3600, twice)
    assert [sent.words for sent in first.sent] == [["open", "resolved"], ["unstable"], ["still"]]
    [heard] = [sent for sent in second.sent if sent.words[0] is Word.UNSTABLE]
    assert heard.at - NOON >= timedelta(seconds=3600 + 1200 + 1800), "half an hour after it came back"


def test_the_end_of_quiet_hours_is_always_ahead_also_in_the_hour_that_clocks_repeat() -> None:
    quiet = QuietHours(time(22), time(2, 30), ZoneInfo("Europe/Berlin"))
    night = [datetime(2026, 10, 24, 20, tzinfo=UTC) + timedelta(minutes=n) for n in range(8 * 60)]
    ends = {now: end for now in night if (end := quiet.end_of(now)) is not None}
    assert all(now < end for now, end in ends.items())
    assert set(ends.values()) == {datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)}


def test_nothing_disturbs_in_quiet_hours_and_it_is_told_when_they_end() -> None:
    quiet = QuietHours(time(14), time(18), ZoneInfo("Europe/Moscow"))
    story = Story(listener=replace(MESSENGER, quiet=quiet))  # noon UTC is 15:00 there
    story.pass_time(3 * 3600 - 30, lambda now: [offline("m", NOON)])
    assert story.sent == []
    story.pass_time(60, lambda now: [offline("m", NOON)])
    assert [sent.words for sent in story.sent] == [["open"]]


def test_what_is_over_before_it_was_told_is_not_told() -> None:
    quiet = QuietHours(time(14), time(18), ZoneInfo("Europe/Moscow"))
    story = Story(listener=replace(MESSENGER, quiet=quiet))
    story.pass_time(5 * 3600, lambda now: [offline("m", NOON)] if _away("m", 0, 1800, now) else [])
    assert story.sent == []


def test_what_is_snoozed_is_silent_until_then() -> None:
    story = Story()
    story.pass_time(60, lambda now: [offline("m", NOON)])
    known = story.incidents["north/offline/m"]
    story.incidents["north/offline/m"] = replace(known, snoozed_until=NOON + timedelta(hours=1))
    story.pass_time(3500, lambda now: [offline("m", NOON)])
    assert story.sent == []
    story.pass_time(100, lambda now: [offline("m", NOON)])
    assert len(story.sent) == 1
