"""Every kind of alert has its words in both languages, its page in the runbook, and fits into a button."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest

from cloud.alerts.buttons import LIVES, ButtonSeal, NotOurs, Press
from cloud.alerts.channels.sender import Why
from cloud.alerts.daily_summary import REASONS
from cloud.alerts.incident import Condition, Incident, State, advance, begun
from cloud.alerts.kinds import TERMS, Kind, page_of
from cloud.alerts.telling import Word
from cloud.alerts.texts_en import EN
from cloud.alerts.texts_ru import RU
from cloud.alerts.wording import SENTENCES, Reader, letter, text_of, undelivered
from cloud.console.alerts.what_to_do_en import WHAT_TO_DO_EN
from cloud.console.alerts.what_to_do_ru import WHAT_TO_DO_RU
from cloud.fleet.availability import TWO_AGENTS
from cloud.orders.states import Event
from protocol.reasons import AgentCode, DoubtCode, FaultCode, RejectCode
from tests.cloud.order_reasons import KINDS, said_in_the_code

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FACTS = {
    "place": "Невский 1", "machines": ["m1", "m2"], "of": 9, "reason": "rejected:no_water", "drinks": 3, "percent": 30,
    "cups_a_day": 40, "payments": 2, "order": "o-1", "kopecks": 123456, "findings": 1, "receipts": 1,
    "last_day": "2026-03-09", "name": "дежурные", "what": "Латте", "claims": 2, "why": "403",
    "version": "1.5.0", "failed": 2,
}  # fmt: skip
SECRET = "a secret text of more than thirty-two characters"


def test_both_languages_say_the_same_with_the_same_blanks() -> None:
    assert RU.keys() == EN.keys()
    for key in RU:
        assert _blanks(RU[key]) == _blanks(EN[key]), key


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_terms_and_its_page_in_the_runbook(kind: Kind) -> None:
    assert kind in TERMS
    path, _, anchor = page_of(kind).partition("#")
    assert f'<a id="{anchor}"></a>' in (ROOT / path).read_text()
    assert f"`{kind.value}`" in (ROOT / "docs/alerts.md").read_text()
    assert {f"alerts.do.{kind.value}"} <= WHAT_TO_DO_RU.keys() & WHAT_TO_DO_EN.keys(), "and in short in the console"


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_said_whole(kind: Kind, language: str) -> None:
    reader = Reader(language, ZoneInfo("Europe/Moscow"), "https://c.example/console")
    said = letter(_open(kind), Word.OPEN, reader, "k", NOW, repeated=False)
    assert not re.search(r"[{}]", said.text)
    assert said.text.endswith(f"https://c.example/console/alerts/{_open(kind).id}")


COUNT_AND_WORD = re.compile(r"(?<![\w.,:-])(?:1|2|22) (?!из\b|of\b)[^\W\d]")
"""A number before the word it counts, which is another one after each of these in Russian, and after 1 in English."""
AT_A_DAY = re.compile(r"\b(?:в|at) \d\d\.\d\d")


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [1, 2, 22])
def test_every_kind_reads_well_with_any_count_and_any_day(kind: Kind, language: str, count: int) -> None:
    """Regression: "1 cups a day", and a drink that was not made "at 29.11 16:00"."""
    reader = Reader(language, ZoneInfo("Europe/Moscow"), "")
    counted = {name: count for name, value in FACTS.items() if isinstance(value, int)}
    incident = _open(kind, FACTS | counted | {"machines": ["m1"] * count})
    over = replace(incident, state=State.RESOLVED, resolved_at=NOW - timedelta(days=1))
    for each, word in ((incident, Word.OPEN), (over, Word.RESOLVED)):
        said = letter(each, word, reader, "k", NOW, repeated=False).text
        assert not COUNT_AND_WORD.search(said), said
        assert not AT_A_DAY.search(said), said


def test_what_failed_twice_is_told_in_words_each_once() -> None:
    reader = Reader("ru", ZoneInfo("Europe/Moscow"), "")
    assert reader.why("no_ack, no_ack") == RU["why.no_ack"]
    assert reader.why("rejected:no_water, no_ack") == f"{RU['why.no_water']}, {RU['why.no_ack']}"
    assert reader.why("a code nobody knows") == "a code nobody knows"


@pytest.mark.parametrize("language", SENTENCES)
def test_every_reason_that_an_alert_can_give_is_told_in_words(language: str) -> None:
    """Regression: of thirty codes a message said "Because: cup_jam.", and a Russian one too."""
    reader = Reader(language, ZoneInfo("Europe/Moscow"), "")
    ours = [said for _, said in said_in_the_code() if not said.startswith(KINDS)]
    codes = [*RejectCode, *AgentCode, *FaultCode, *DoubtCode, TWO_AGENTS, *REASONS, Event.NO_ACK, Event.NO_OUTCOME]
    reasons = {*ours, *codes, *(f"rejected:{code}" for code in codes)}
    assert len(ours) >= 8
    assert not [reason for reason in reasons if reader.why(reason) == reason.rpartition(":")[2]]


@pytest.mark.parametrize("language", SENTENCES)
def test_why_nothing_arrived_is_said_in_the_readers_language(language: str) -> None:
    """Regression: a Russian page said our own reasons in English."""
    for why in Why:
        assert undelivered(why, language) == SENTENCES[language][f"undelivered.{why}"]
    assert undelivered("Forbidden: bot was kicked, no_water", language) == "Forbidden: bot was kicked, no_water"
    condition = Condition(Kind.CHANNEL_BROKEN, "north", "c1", NOW, FACTS | {"why": Why.BOT_REFUSED.value})
    told = text_of(begun(condition, "f" * 32, NOW), Reader(language, ZoneInfo("Europe/Moscow"), ""), NOW)
    assert undelivered(Why.BOT_REFUSED, language) in told


def test_a_button_fits_and_is_bound_to_its_channel() -> None:
    seal = ButtonSeal(SECRET)
    text = seal.seal(Press.SNOOZE, "f" * 32, "channel", NOW)
    assert len(text.encode()) <= 64  # Telegram takes no more
    pressed = seal.open(text, "channel")
    assert (pressed.press, pressed.incident_id, pressed.is_alive(NOW + LIVES / 2)) == (Press.SNOOZE, "f" * 32, True)
    assert not pressed.is_alive(NOW + LIVES + timedelta(seconds=1))
    for wrong in (text.replace("s", "a", 1), text[:-1], "", "s", "x" * 60 + ".é"):
        with pytest.raises(NotOurs):
            seal.open(wrong, "channel")
    with pytest.raises(NotOurs):
        seal.open(text, "another channel")
    newer = "another secret text of more than thirty-two characters"
    assert ButtonSeal(newer, (SECRET,)).open(text, "channel") == pressed
    with pytest.raises(NotOurs):
        ButtonSeal(newer).open(text, "channel")


def _open(kind: Kind, facts: Mapping[str, object] = FACTS) -> Incident:
    condition = Condition(kind, "north", "m1", NOW - timedelta(hours=30), facts)
    return advance(begun(condition, "f" * 32, NOW), condition, NOW)


def _blanks(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}
