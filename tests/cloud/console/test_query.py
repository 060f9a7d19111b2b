"""The one search field: whatever a caller remembers is understood."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cloud.console.orders.query import AROUND, LONGEST, Query, Span, parse

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 28, 13, 0, tzinfo=MOSCOW)


def around(day: int, hour: int, minute: int) -> tuple[tuple[Span, ...]]:
    at = datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW)
    return ((Span(MOSCOW.key, at - AROUND, at + AROUND),),)


def day(number: int, month: int = 11, year: int = 2026) -> tuple[tuple[Span, ...]]:
    start = datetime(year, month, number, tzinfo=MOSCOW)
    return ((Span(MOSCOW.key, start, start + timedelta(days=1)),),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Query()),
        ("149", Query(kopecks=14900)),
        ("149 ₽", Query(kopecks=14900)),
        ("149,50", Query(kopecks=14950)),
        ("149.50р", Query(kopecks=14950)),
        ("1490", Query(tail="1490", kopecks=149000, number="1490")),
        ("0042", Query(tail="0042", kopecks=4200, number="0042")),
        ("…1490 149", Query(tail="1490", kopecks=14900)),
        ("1490 вчера", Query("", "1490", 149000, *day(27))),
        ("…9a3f", Query(tail="9a3f")),
        ("*9a3f", Query(tail="9a3f")),
        ("9a3", Query()),
        (
            "20261123044945471c8a70-9ace-cndn",
            Query(name="20261123044945471c8a70-9ace-cndn", tail="20261123044945471c8a70-9ace-cndn"),
        ),
        ("12:40", Query("", "", None, *around(28, 12, 40))),
        ("14:05", Query("", "", None, *around(27, 14, 5))),
        ("вчера 149 12:40", Query("", "", 14900, *around(27, 12, 40))),
        ("yesterday", Query("", "", None, *day(27))),
        ("20.11", Query("", "", None, *day(20))),
        ("20.12", Query("", "", None, *day(20, 12, 2025))),
        ("20.11.25 200", Query("", "", 20000, *day(20, 11, 2025))),
        ("2026-11-20", Query("", "", None, *day(20))),
        ("31.02", Query(kopecks=3102)),
        ("29 октября", Query("", "", None, *day(29, 10))),
        ("29 окт. 149", Query("", "", 14900, *day(29, 10))),
        ("29 ноября", Query("", "", None, *day(29, 11, 2025))),
        ("149 Nov 20, 2025", Query("", "", 14900, *day(20, 11, 2025))),
        ("12:40 27 November", Query("", "", None, *around(27, 12, 40))),
        ("12:40 November 27", Query("", "", None, *around(27, 12, 40))),
        ("November 27 12:40", Query("", "", None, *around(27, 12, 40))),
        ("27 ноября 12:40", Query("", "", None, *around(27, 12, 40))),
        ("149.50 Nov. 20", Query("", "", 14950, *day(20))),
        ("99 Nov 20", Query("", "", 9900, *day(20))),
        ("20 ноября 99", Query("", "", 9900, *day(20))),
        ("31 ноября", Query(no_day="2025-11-31")),
        ("99 ноября", Query(no_day="2025-11-99")),
        ("вчера капучино", Query("", "", None, *day(27))),
        ("9a3f7 вчера капучино", Query("9a3f7", "9a3f7", None, *day(27))),
        ("капучино вчера 9a3f7", Query("9a3f7", "9a3f7", None, *day(27))),
        ("около 12:40", Query("", "", None, *around(28, 12, 40))),
        ("…cndn yesterday cappuccino", Query("", "cndn", None, *day(27))),
        ("капучино", Query("капучино", "капучино")),
        ("9999-12-31 149", Query(kopecks=14900, no_day="9999-12-31")),
        ("0001-01-01", Query(no_day="0001-01-01")),
        ("30.02.2026", Query(no_day="30.02.2026")),
    ],
)
def test_what_is_typed_is_understood(text: str, found: Query) -> None:
    assert parse(text, NOW, [MOSCOW.key]) == found


def test_the_clock_is_the_places_own() -> None:
    asked = parse("00:30", datetime(2026, 11, 27, 23, 0, tzinfo=UTC), [MOSCOW.key])
    [span] = asked.spans
    assert span.since == datetime(2026, 11, 28, 0, 10, tzinfo=MOSCOW)


def test_each_machines_clock_counts() -> None:
    """Regression: a time a buyer had seen at a machine far from its merchant found nothing."""
    now = datetime(2026, 11, 29, 15, 0, tzinfo=UTC)
    far = ZoneInfo("Asia/Vladivostok")

    moscow, there = parse("00:54", now, [MOSCOW.key, far.key]).spans
    assert moscow.since + AROUND == datetime(2026, 11, 29, 0, 54, tzinfo=MOSCOW)
    assert there.since + AROUND == datetime(2026, 11, 30, 0, 54, tzinfo=far)

    [today] = parse("сегодня", now, [far.key]).spans
    assert today == (far.key, datetime(2026, 11, 30, tzinfo=far), datetime(2026, 12, 1, tzinfo=far))


@pytest.mark.parametrize("text", ["\x00", "' OR 1=1 --", "%%%%", "9" * 999, "🙂🙂🙂🙂", "99:99", "0.0.0"])
def test_nothing_typed_is_a_fault(text: str) -> None:
    asked = parse(text, NOW, [MOSCOW.key])
    assert len(asked.name) <= LONGEST
