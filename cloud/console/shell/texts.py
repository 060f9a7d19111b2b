"""How the console writes: its sections' sentences in one language, money, counts, moments in a place's own time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from markupsafe import Markup

from cloud.buyer.texts import OTHER, Language, Texts, why_key
from cloud.console.shell.texts_en import EN
from cloud.console.shell.texts_ru import RU
from cloud.fleet import zones

DEFAULT_ZONE = zones.zone(zones.DEFAULT)
_MONTHS: dict[Language, tuple[str, ...]] = {
    "ru": ("янв", "фев", "мар", "апр", "мая", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"),
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}
SHELL: Mapping[Language, Mapping[str, str]] = {"ru": RU, "en": EN}


class ConsoleTexts(Texts):
    """All the console says, in one language. Filled-in values are escaped."""

    def __init__(
        self, language: Language, sentences: Mapping[str, str], now: datetime, zone: ZoneInfo = DEFAULT_ZONE
    ) -> None:
        """`zone`: the time of what the page is about; moments are written in it."""
        super().__init__(language)
        self.zone = zone
        self._buyers = Texts(language)
        self._sentences = dict(sentences)
        self._now = now

    def count(self, key: str, n: int, **values: object) -> Markup:
        """A sentence that counts: `key.one`, `key.few`, `key.many` by the language's rules."""
        return self(f"{key}.{plural(self.language, n)}", n=self.number(n), **values)

    def number(self, n: int) -> str:
        """1 234, with a space that does not break."""
        return f"{n:,}".replace(",", "\u202f")

    def percent(self, part: float) -> str:
        """4,2 % of a ratio."""
        text = f"{100 * part:.1f}"
        return f"{text.replace('.', ',')}\u00a0%" if self.language == "ru" else f"{text}%"

    def price(self, kopecks: int) -> str:
        """1 490 ₽, or with kopecks where there are any."""
        roubles, rest = divmod(abs(kopecks), 100)
        point = "," if self.language == "ru" else "."
        sign = "−" if kopecks < 0 else ""
        return f"{sign}{self.number(roubles)}{f'{point}{rest:02}' if rest else ''}\u00a0₽"

    def why(self, reason: str) -> Markup:
        """An order's reason or a machine's code, in the words the buyer reads; "" where there are none for it."""
        key = why_key(reason)
        return self._buyers(key) if key not in {"", OTHER} else Markup("")

    def time(self, moment: datetime, zone: tzinfo | None = None) -> str:
        return f"{moment.astimezone(zone or self.zone):%H:%M}"

    def day(self, moment: datetime, zone: tzinfo | None = None) -> str:
        """28 Nov; with the year where it is another one."""
        then, today = moment.astimezone(zone or self.zone), self._now.astimezone(zone or self.zone)
        words = f"{then.day}\u00a0{_MONTHS[self.language][then.month - 1]}"
        return words if then.year == today.year else f"{words}\u00a0{then.year}"

    def moment(self, moment: datetime, zone: tzinfo | None = None) -> str:
        """12:04 today, 28 Nov 12:04 else."""
        is_today = moment.astimezone(zone or self.zone).date() == self._now.astimezone(zone or self.zone).date()
        return self.time(moment, zone) if is_today else f"{self.day(moment, zone)}, {self.time(moment, zone)}"

    def there(self, moment: datetime, zone: str) -> str:
        """The moment in the time of a machine that stands in this zone; where its clock differs from ours, which."""
        local, here = moment.astimezone(zones.zone(zone)), moment.astimezone(self.zone)
        words = self.moment(moment, local.tzinfo)
        return words if local.utcoffset() == here.utcoffset() else f"{words}\u00a0{_offset(local)}"

    def exact(self, moment: datetime, zone: tzinfo | None = None) -> str:
        """With seconds and the zone's name, for evidence and hints."""
        return f"{moment.astimezone(zone or self.zone):%d.%m.%Y %H:%M:%S %Z}"

    def ago(self, moment: datetime) -> Markup:
        """How long since."""
        return self.lasting(self._now - moment.astimezone(UTC))

    def lasting(self, span: timedelta) -> Markup:
        """A span of time in its largest unit."""
        seconds = max(0, int(span.total_seconds()))
        for name, unit in (("days", 86400), ("hours", 3600), ("minutes", 60)):
            if seconds >= unit:
                return self.count(f"shell.{name}", seconds // unit)
        return self("shell.moments")


def _offset(moment: datetime) -> str:
    """UTC+10, UTC+5:30."""
    minutes = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'−' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"


def plural(language: Language, n: int) -> str:
    """Which form of a counted word: 1 чашка, 2 чашки, 5 чашек; 1 cup, 2 cups."""
    if language == "en":
        return "one" if n == 1 else "many"
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    return "few" if n % 10 in {2, 3, 4} and n % 100 not in {12, 13, 14} else "many"
