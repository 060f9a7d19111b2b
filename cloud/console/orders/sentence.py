"""A verdict written out: one sentence in the reader's language, by the clock of the place."""

from datetime import datetime, tzinfo

from cloud.console.orders.verdict import Phrase, Verdict
from cloud.console.shell.texts import ConsoleTexts


def sentence(texts: ConsoleTexts, of: Verdict, zone: tzinfo | None = None, *, sums: bool = True) -> str:
    """Both halves, as one sentence; without `sums` for a person who may not see any."""
    words = f"{phrase(texts, of.first, zone, sums=sums)}; {phrase(texts, of.second, zone, sums=sums)}."
    return words[:1].upper() + words[1:]


def phrase(texts: ConsoleTexts, of: Phrase, zone: tzinfo | None = None, *, sums: bool = True) -> str:
    """One half, without a capital and a full stop."""
    plain = f"{of.key}.plain"
    key = plain if not sums and texts.has(plain) else of.key
    filled = texts(key, at=at(texts, of.at, zone), price=texts.price(of.kopecks), why=why(texts, of.reason))
    return filled.unescape()


def at(texts: ConsoleTexts, moment: datetime | None, zone: tzinfo | None = None) -> str:
    """ " at 12:04", " on 28 Nov at 12:04"; "" when nobody knows."""
    if moment is None:
        return ""
    time, day = texts.time(moment, zone), texts.day(moment, zone)
    is_today = texts.moment(moment, zone) == time
    return str(texts("orders.at" if is_today else "orders.at_day", time=time, day=day))


def why(texts: ConsoleTexts, reason: str) -> str:
    """ ": the machine has run out of water": what the buyer reads of it, its first sentence."""
    told = texts.why(reason).unescape().partition(". ")[0].rstrip(".")
    return f": {told[:1].lower()}{told[1:]}" if told else ""
