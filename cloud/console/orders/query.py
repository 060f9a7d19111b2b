"""What a person types into the one search field, understood: order, payment, amount, moment, last characters. Pure.

Words are read in any order: "149 вчера 12:40", "29 ноября", "…9a3f", a number copied whole. What could mean two things
is looked for as both; beside a day or a time, a word without a digit names nothing ("вчера капучино", "около 16:54").
Cards are never looked for: no digit of one is stored here (docs/console.md).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from cloud.fleet import zones

LONGEST = 300
AROUND = timedelta(minutes=20)
"""People remember a time so well."""
TAIL_AT_LEAST = 4
_DAYS = {"сегодня": 0, "today": 0, "вчера": 1, "yesterday": 1, "позавчера": 2}
_MONTHS = {
    name[:length]: month
    for names in (
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
        "january february march april may june july august september october november december",
    )
    for month, name in enumerate(names.split(), 1)
    for length in range(3, len(name) + 1)
}
"""Their names, also shortened."""
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_MONTH_FIRST = rf"({_MONTH})\.?\s+(\d{{1,2}})"
_DAY_FIRST = rf"(?<![:.,])(?!(?:3[2-9]|[4-9]\d)\s+(?:{_MONTH})\.?\s+\d{{1,2}}\b(?!:))(\d{{1,2}})\s+({_MONTH})"
"""Neither the minutes of "12:40 May 5", nor the kopecks of "149.50 May 5", nor the roubles of "99 May 5"."""
_IN_WORDS = re.compile(rf"\b(?:{_DAY_FIRST}|{_MONTH_FIRST})\b(?!:)[.,]?(?:\s+(20\d\d)\b)?", re.IGNORECASE)
_MONEY = re.compile(r"(\d{1,6})(?:[.,](\d{2}))?(₽|р|р\.|руб|руб\.|rub)?", re.IGNORECASE)
_UNITS = frozenset({"₽", "р", "р.", "руб", "руб.", "rub"})
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{4}|\d{2}))?")
_NAME = re.compile(r"[^\s]{4,255}")


class Span(NamedTuple):
    """A while on the clock of one zone."""

    zone: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Query:
    """What is looked for; each part narrows, but a name and its tail are two ways to find one order."""

    name: str = ""
    """An order's number, whole or its beginning, or a payment's."""
    tail: str = ""
    """The last characters of an order's number."""
    kopecks: int | None = None
    spans: tuple[Span, ...] = ()
    """When: an order counts by the clock of its machine, one span for each zone they stand in."""
    no_day: str = ""
    """What looks like a day and is none."""
    number: str = ""
    """The digits of an amount that stands alone: they may as well be an order's whole number."""

    @property
    def is_empty(self) -> bool:
        return self == NOTHING


NOTHING = Query()


def parse(text: str, now: datetime, zone_names: Iterable[str]) -> Query:
    """What `text` asks for; days and times are those of each of these zones."""
    by_zone = {name: _read(text, now, zones.zone(name)) for name in zone_names}
    spans = tuple(Span(name, *span) for name, (_, span) in by_zone.items() if span is not None)
    [query, *_] = [query for query, _ in by_zone.values()] or [_read(text, now, zones.zone(zones.DEFAULT))[0]]
    return replace(query, spans=spans)


def _read(text: str, now: datetime, zone: tzinfo) -> tuple[Query, tuple[datetime, datetime] | None]:
    """The same on the clock of one zone."""
    today = now.astimezone(zone).date()
    words = _IN_WORDS.sub(lambda found: _in_digits(found, today), text.strip()[:LONGEST]).split()
    tail = number = no_day = ""
    names: list[str] = []
    kopecks: int | None = None
    day: date | None = None
    moment: time | None = None
    for word in words:
        if word.casefold() in _UNITS:
            continue
        if (read_time := _time(word)) is not None:
            moment = read_time
        elif (read_day := _day(word, today)) is not None:
            day = read_day
        elif (read_money := _kopecks(word)) is not None:
            kopecks = read_money
            if word.isdecimal() and len(word) >= TAIL_AT_LEAST:
                tail = number = word
        elif word[0] in "…*" or word.startswith("..."):
            tail = word.lstrip("…*.")[-64:]
        elif _ISO.fullmatch(word) or _DATE.fullmatch(word):
            no_day = word
        elif _NAME.fullmatch(word):
            names.append(word)
    if day or moment:
        names = [word for word in names if any(map(str.isdigit, word))]
    name = names[-1] if names else ""
    tail = name or tail
    number = "" if name or day or moment else number
    query = Query(name, tail if len(tail) >= TAIL_AT_LEAST else "", kopecks, no_day=no_day, number=number)
    return query, _span(day, moment, now, zone)


def _in_digits(found: re.Match[str], today: date) -> str:
    """A day that was named with its month, as 2026-11-29: the last such day, where no year was named."""
    month, day = _MONTHS[(found[2] or found[3]).casefold()], int(found[1] or found[4])
    year = int(found[5] or (today.year if (month, day) <= (today.month, today.day) else today.year - 1))
    return f" {year}-{month:02}-{day:02} "


def _time(word: str) -> time | None:
    found = _TIME.fullmatch(word)
    return None if found is None else time(int(found[1]), int(found[2]))


def _day(word: str, today: date) -> date | None:
    if word.casefold() in _DAYS:
        return today - timedelta(days=_DAYS[word.casefold()])
    try:
        if found := _ISO.fullmatch(word):
            return zones.day_of(int(found[1]), int(found[2]), int(found[3]))
        if found := _DATE.fullmatch(word):
            year = int(found[3] or today.year)
            day = zones.day_of(year + 2000 if year < 100 else year, int(found[2]), int(found[1]))
            return day if found[3] or day <= today else day.replace(year=day.year - 1)
    except ValueError:  # no such day: 149.50 is an amount
        return None
    return None


def _kopecks(word: str) -> int | None:
    found = _MONEY.fullmatch(word)
    return None if found is None else int(found[1]) * 100 + int(found[2] or 0)


def _span(day: date | None, moment: time | None, now: datetime, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """A day, or a while around a moment: of today, or of yesterday when it has not come yet."""
    if moment is None:
        if day is None:
            return None
        start = datetime.combine(day, time(), zone)
        return start, datetime.combine(day + timedelta(days=1), time(), zone)
    at = datetime.combine(day or now.astimezone(zone).date(), moment, zone)
    if day is None and at - AROUND > now:
        at = datetime.combine(at.date() - timedelta(days=1), moment, zone)
    return at - AROUND, at + AROUND
