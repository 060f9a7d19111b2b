"""Silence is judged by the machine's own week: told before noon of a busy Monday, never on a quiet Sunday."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cloud.alerts.missed_cups import UsualWeek, hour_of_week, is_silent

MOSCOW = ZoneInfo("Europe/Moscow")
MONDAY = datetime(2026, 3, 2, 0, tzinfo=MOSCOW).astimezone(UTC)
OFFICE = {8: 0.6, 9: 1.6, 10: 1.4, 11: 1.0, 12: 1.2, 13: 1.2, 14: 1.0, 15: 1.0, 16: 0.8, 17: 0.6}
"""How the cups of an office's day lie; they sum up to 10.4."""


def _usual(cups_a_day: float, weekend: float) -> UsualWeek:
    scale = cups_a_day * 7 / (10.4 * (5 + 2 * weekend))
    cups = {
        day * 24 + hour: share * scale * (weekend if day > 4 else 1.0)
        for day in range(7) for hour, share in OFFICE.items()
    }  # fmt: skip
    return UsualWeek(cups, MOSCOW)


@pytest.mark.parametrize("cups_a_day", [40, 100])
def test_nothing_sold_on_a_busy_monday_is_told_before_noon(cups_a_day: float) -> None:
    usual, friday = _usual(cups_a_day, weekend=0.1), MONDAY - timedelta(hours=7)
    silent_at = next(at for at in (MONDAY + timedelta(minutes=m) for m in range(1440)) if is_silent(usual, friday, at))
    local = silent_at.astimezone(MOSCOW)
    assert local.weekday() == 0
    assert 8 <= local.hour < 12


def test_a_quiet_sunday_is_no_trouble() -> None:
    usual, saturday = _usual(40, weekend=0.0), MONDAY - timedelta(days=2) + timedelta(hours=12)
    assert not any(is_silent(usual, saturday, saturday + timedelta(hours=hour)) for hour in range(44))


@pytest.mark.parametrize("machines", [10, pytest.param(100, marks=pytest.mark.long)])
def test_a_year_of_ordinary_days_gives_few_false_alarms(machines: int) -> None:
    chance, alarms = random.Random(16), 0
    for number in range(machines):
        usual = _usual(chance.choice([5, 15, 40, 80]), weekend=chance.choice([0.0, 0.3, 1.0]))
        alarms += _false_alarms(usual, random.Random(number), days=365)
    assert alarms / (machines * 12) < 0.1


def _false_alarms(usual: UsualWeek, chance: random.Random, days: int) -> int:
    """Cups come by chance at the usual rate, of a day that is a quarter better or worse; each silence told counts."""
    alarms, last_sale, begins = 0, MONDAY, MONDAY
    for _ in range(days):
        luck = max(0.0, chance.gauss(1.0, 0.25))
        for _ in range(24):
            rate = luck * usual.cups.get(hour_of_week(begins.astimezone(MOSCOW)), 0.0)
            passed = chance.expovariate(rate) if rate else 1.0
            while passed < 1.0:
                sold_at = begins + timedelta(hours=passed)
                alarms += is_silent(usual, last_sale, sold_at)
                last_sale = sold_at
                passed += chance.expovariate(rate)
            begins += timedelta(hours=1)
    return alarms
