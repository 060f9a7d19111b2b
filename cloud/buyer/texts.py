"""Which language the buyer reads, and how sentences, money, sizes and dates are written in it."""

from datetime import datetime
from typing import Literal, get_args

from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept

from cloud.buyer.texts_en import EN
from cloud.buyer.texts_ru import RU
from cloud.fleet import zones

Language = Literal["ru", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
SENTENCES: dict[Language, dict[str, str]] = {"ru": RU, "en": EN}

_MONTHS_RU = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)
OTHER = "why.other"
"""Said of every reason that has no sentence of its own: the drink could not be made."""


def language_of(asked: str | None, accepted: LanguageAccept) -> Language:
    """English when it is asked for, or preferred by the browser; Russian otherwise."""
    for language in LANGUAGES:
        if asked == language:
            return language
    return "en" if accepted.best_match(LANGUAGES, default="ru") == "en" else "ru"


def why_key(reason: str) -> str:
    """The sentence of an order's reason (`rejected:no_water`, `no_ack`, ...) or of a bare code; "" for no reason."""
    if not reason:
        return ""
    kind, _, code = reason.partition(":")
    if kind.startswith("wrong_"):
        return "why.wrong"
    key = f"why.{code}" if kind in {"rejected", "failed"} else f"why.{kind}"
    return key if key in RU else OTHER


def declined_key(cancel_reason: str) -> str:
    """The sentence of a provider's reason to decline; "" when it has none that would help the buyer."""
    key = f"declined.{cancel_reason}"
    return key if key in RU else ""


class Texts:
    """All that is written, in one language. Filled-in values are escaped; `Markup` values are not."""

    def __init__(self, language: Language, zone: str = "") -> None:
        """`zone`: the time of the place it is read at; empty for Moscow's."""
        self.language = language
        self._zone = zones.zone(zone)
        self._sentences = SENTENCES[language]

    def __call__(self, key: str, **values: object) -> Markup:
        """The sentence named `key`."""
        return Markup(self._sentences[key]).format(**values)  # noqa: S704  # our own sentences hold no markup

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self._sentences

    def price(self, kopecks: int) -> str:
        """149 ₽, 149,50 ₽ or 149.50 ₽; the space does not break."""
        roubles, rest = divmod(kopecks, 100)
        point = "," if self.language == "ru" else "."
        return f"{roubles}{point}{rest:02}\u00a0₽" if rest else f"{roubles}\u00a0₽"

    def size(self, size: int) -> Markup:
        """The word for size 0, 1, 2."""
        return self(f"size.{size}")

    def date(self, moment: datetime) -> str:
        """Day and month, in the time of the place."""
        day = moment.astimezone(self._zone)
        month = _MONTHS_RU[day.month - 1] if self.language == "ru" else f"{day:%B}"
        return f"{day.day}\u00a0{month}"

    def time(self, moment: datetime) -> str:
        """Hours and minutes there."""
        return f"{moment.astimezone(self._zone):%H:%M}"

    def left(self, seconds: int) -> Markup:
        """A remaining time; the page's script counts it down from there."""
        minutes = round(seconds / 60)
        words = self("left.minutes", n=minutes) if seconds >= 90 else self("left.seconds", n=seconds)
        return Markup('<span class="left" data-left="{}">{}</span>').format(seconds, words)
