"""Both languages say everything, every code has its sentence, and figures are written as each language does."""

import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from cloud.buyer import texts
from cloud.buyer.order_view import CHECKING, RESERVED
from cloud.buyer.texts import SENTENCES, Texts, declined_key, language_of, why_key
from cloud.fleet.availability import CLOSED, NOT_SENT, OFFLINE
from cloud.orders.scanning import Why
from cloud.orders.states import Event
from protocol.reasons import AgentCode, FaultCode, RejectCode, Stage
from tests.cloud.order_reasons import KINDS, said_in_the_code

CODES = sorted({*RejectCode, *AgentCode, *FaultCode})
REASONS = ["no_ack", "no_outcome", "unknown", "not_sent", "expired"]
BUYER = Path(texts.__file__).parent


def test_both_languages_have_the_same_sentences() -> None:
    assert SENTENCES["ru"].keys() == SENTENCES["en"].keys()


def test_a_sentence_and_its_translation_ask_for_the_same_values() -> None:
    for key in SENTENCES["ru"]:
        asked = [{name for _, name, _, _ in Formatter().parse(words[key]) if name} for words in SENTENCES.values()]

        assert asked[0] == asked[1], key
        assert all(words[key].strip() for words in SENTENCES.values()), key


def test_each_language_is_written_in_its_letters() -> None:
    for key in SENTENCES["ru"].keys() - {"page.language"}:  # each names the other one
        assert not re.search("[а-яё]", SENTENCES["en"][key], re.IGNORECASE), key
        assert re.search("[а-яё]", re.sub(r"\{\w+\}", "", SENTENCES["ru"][key]), re.IGNORECASE), key


@pytest.mark.parametrize("code", CODES)
def test_every_code_a_machine_or_agent_can_give_has_a_sentence(code: str) -> None:
    for reason in (f"rejected:{code}", f"failed:{code}", code):
        assert why_key(reason) == f"why.{code}"
        assert why_key(reason) in SENTENCES["ru"]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_our_own_has_a_sentence(reason: str) -> None:
    assert why_key(reason) == f"why.{reason}"
    assert why_key(reason) in SENTENCES["ru"]


def test_every_reason_the_cloud_writes_has_a_sentence() -> None:
    said = list(said_in_the_code())

    assert len(said) >= 8
    assert [s for s in said if not s[1].startswith(KINDS) and why_key(s[1]) in {"why.other", ""}] == []


@pytest.mark.parametrize("event", [Event.NO_ACK, Event.NO_OUTCOME])
def test_a_silence_that_names_itself_has_a_sentence(event: Event) -> None:
    assert why_key(event.value) == f"why.{event.value}"


@pytest.mark.parametrize("code", [CLOSED, OFFLINE, NOT_SENT, RESERVED, CHECKING, "rinsing", "cleaning"])
def test_whatever_stands_in_the_way_of_paying_has_a_sentence(code: str) -> None:
    assert why_key(code) == f"why.{code}"


@pytest.mark.parametrize("reason", ["rejected:vendor:E42", "failed:", "rejected:whatever", "brand_new"])
def test_an_unheard_of_code_still_gets_words(reason: str) -> None:
    assert why_key(reason) == "why.other"


def test_a_payment_that_did_not_fit_has_its_sentence() -> None:
    assert {why_key(f"wrong_{what}") for what in ("amount", "currency", "shop", "test")} == {"why.wrong"}
    assert why_key("refused:invalid_request") == "why.refused"
    assert why_key("") == ""


@pytest.mark.parametrize("why", Why)
def test_every_refusal_of_a_scan_has_a_sentence(why: Why) -> None:
    assert f"error.{why.value}" in SENTENCES["ru"]


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_of_the_machine_has_a_title(stage: Stage) -> None:
    assert f"{stage}.title" in SENTENCES["ru"]


def test_every_sentence_the_code_names_exists() -> None:
    sources = [(BUYER / name).read_text() for name in ("page_state.py", "pages.py", "menu.py")]
    sources += [path.read_text() for path in (BUYER / "templates").rglob("*.html")]
    families = {key.partition(".")[0] for key in SENTENCES["ru"]}
    named = {key for source in sources for key in re.findall(r"[\"']([a-z_]+(?:\.[a-z_]+)+)[\"']", source)}
    named = {key for key in named if key.partition(".")[0] in families and not key.endswith((".html", ".svg"))}

    assert len(named) > 30
    assert not named - SENTENCES["ru"].keys()


def test_a_decline_is_told_where_that_helps() -> None:
    assert declined_key("insufficient_funds") == "declined.insufficient_funds"
    assert declined_key("canceled_by_merchant") == ""
    assert declined_key("") == ""


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, "", "ru"),
        (None, "*", "ru"),
        (None, "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        (None, "en-GB,en;q=0.9,ru;q=0.8", "en"),
        (None, "en;q=0.5,ru;q=0.9", "ru"),
        (None, "de-DE,de;q=0.9,en;q=0.5", "en"),
        (None, "de", "ru"),
        ("en", "ru", "en"),
        ("ru", "en", "ru"),
        ("fr", "en", "en"),
    ],
)
def test_russian_is_spoken_unless_english_is_preferred(asked: str | None, accepted: str, language: str) -> None:
    assert language_of(asked, parse_accept_header(accepted, LanguageAccept)) == language


def test_money_and_dates_are_written_as_the_language_does() -> None:
    ru, en = Texts("ru"), Texts("en")
    late_evening_in_london = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)

    assert ru.price(14900) == "149\u00a0₽"
    assert ru.price(14950) == "149,50\u00a0₽"
    assert en.price(14905) == "149.05\u00a0₽"
    assert ru.date(late_evening_in_london) == "3\u00a0марта"
    assert en.date(late_evening_in_london) == "3\u00a0March"


def test_what_is_filled_in_is_escaped() -> None:
    assert Texts("ru")("pay.button", price="<b>1</b>") == "Оплатить &lt;b&gt;1&lt;/b&gt;"
