"""Why an agent has stopped selling is said in the reader's language, as long as the agent says it as today."""

from pathlib import Path

import pytest

import agent
from agent.journal.sales_block import needs_person
from agent.making.breaker import DAY_S, why_stop
from cloud.console.machines.agent_words import SENTENCES
from protocol.reasons import AgentCode, Result
from tests.cloud.console.building import Console
from tests.cloud.console.test_machines import AT, live, page
from tests.cloud.worlds import DEVICE

PHRASES = {
    "in_a_row": "drinks in a row ended unknown", "in_a_day": "drinks ended unknown within a day",
    "counter": "the counter moved by {counted} and {ordered} drinks were ordered",
    "failed": "the agent failed at it {POISON} times: {type(error).__name__}",
    "journal_lost": "the journal was damaged and put aside", "room": "only {free // 1024} KiB free at ",
    "cannot": "the machine cannot {', '.join(sorted(missing))}, which profile {self._profile.name} needs",
    "two_agents": "{rival} is the session of another agent with this device's name",
    "trouble": "the agent's {self.name} fails: {type(error).__name__}: {error}",
}  # fmt: skip
"""As they stand in the agent's files."""
DONE, UNKNOWN = Result.DONE, Result.UNKNOWN
DAMAGED = {"lost_at": "2026-03-02"}
STOPPED = {"stopped": "the counter moved by 2 and 1 drinks were ordered; needs a person"}


@pytest.mark.parametrize("name", SENTENCES)
def test_the_agent_still_says_it_so(name: str) -> None:
    said = "".join(path.read_text() for path in Path(agent.__file__).parent.rglob("*.py"))
    assert PHRASES[name] in said


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (why_stop([(0.0, UNKNOWN)] * 2), "Чем закончились 2 напитка подряд, неизвестно"),
        (why_stop([(0.0, DONE), *[(DAY_S - 1, UNKNOWN)] * 3]), "За сутки неизвестно, чем закончились напитки: 3"),
        (needs_person(lambda key: DAMAGED.get(key, "")), "Журнал агента был повреждён"),
        (needs_person(lambda key: STOPPED.get(key, "")), "Счётчик автомата сдвинулся на 2, а заказано было 1"),
        ("a newer agent's <b>reason</b>", "a newer agent&#39;s &lt;b&gt;reason&lt;/b&gt;"),
    ],
)  # fmt: skip
def test_the_page_says_it_in_russian_and_what_nobody_knows_as_it_came(console: Console, words: str, shown: str) -> None:
    live(console, DEVICE, online=True, selling=False, reason=words, machine="ready", link="up")
    assert shown in page(console, AT)
    assert AgentCode.NOT_SELLING not in page(console, AT)
