"""What an agent says is said in the reader's language, as long as the agent says it as today."""

from pathlib import Path

import pytest

import agent
from agent.journal.sales_block import needs_person
from agent.making.breaker import DAY_S, why_stop
from agent.making.counter_watch import LOCAL_SALE
from cloud.console.machines.agent_words import SENTENCES
from cloud.console.releases.texts_ru import RU
from cloud.courier import device_jobs
from cloud.courier.device_jobs import Kind, Wanted
from cloud.fleet import machine_events
from protocol.messages import Answer, Event
from protocol.reasons import AgentCode, AnswerStatus, EventKind, JobCode, Result, UpdateCode
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
        (why_stop([(0.0, UNKNOWN)] * 2), "Напитков подряд с неизвестным исходом: 2"),
        (why_stop([(0.0, DONE), *[(DAY_S - 1, UNKNOWN)] * 3]), "Напитков за сутки с неизвестным исходом: 3"),
        (needs_person(lambda key: DAMAGED.get(key, "")), "Журнал агента был повреждён"),
        (needs_person(lambda key: STOPPED.get(key, "")), "Счётчик автомата сдвинулся на 2, а заказано было 1"),
        ("a newer agent's <b>reason</b>", "a newer agent&#39;s &lt;b&gt;reason&lt;/b&gt;"),
    ],
)  # fmt: skip
def test_the_page_says_it_in_russian_and_what_nobody_knows_as_it_came(console: Console, words: str, shown: str) -> None:
    live(console, DEVICE, online=True, selling=False, reason=words, machine="ready", link="up")
    assert shown in page(console, AT)
    assert AgentCode.NOT_SELLING not in page(console, AT)


def heard(console: Console, what: str, code: str) -> None:
    said = Event(message_id="e-1", at=console.clock.now, what=what, code=code, words="", evidence={}, lost=0)
    console.world.database.transact(machine_events.keep, DEVICE, said, console.clock.now)


@pytest.mark.parametrize(
    ("what", "code", "shown"),
    [
        (EventKind.MACHINE_BOOTED, "power", "Автомат включился: Появилось питание."),
        (EventKind.COUNTER_MOVED, LOCAL_SALE, "Счётчик вырос сам: Автомат продал напиток сам."),
        (EventKind.STRAY_OUTCOME, "done", "Чужой напиток: Напиток готов."),
        (EventKind.FAULT_SET, "no_water", "Неисправность: В автомате закончилась вода."),
        (EventKind.FAULT_SET, "vendor:e17", "Неисправность: vendor:e17"),
    ],
)
def test_a_code_means_what_it_is_about_and_what_nobody_knows_is_shown_as_it_came(
    console: Console, what: EventKind, code: str, shown: str
) -> None:
    """Regression: whatever had no words of its own was a drink that could not be made."""
    heard(console, what, code)
    assert shown in " ".join(page(console, AT).split())


@pytest.mark.parametrize(
    ("kind", "code", "shown"),
    [
        (Kind.SETTINGS, JobCode.BAD_SETTING, "Такой настройки нет, или значение не подходит."),
        *((Kind.UPDATE, code, RU[f"releases.why.{code}"]) for code in UpdateCode),
    ],
)
def test_so_does_the_code_of_a_job(console: Console, kind: Kind, code: str, shown: str) -> None:
    wanted, now = Wanted(kind), console.clock.now
    console.world.database.transact(device_jobs.ask, DEVICE, wanted, "anna", "job-1", now)
    refused = Answer(reference="job-1", asked=kind, status=AnswerStatus.REFUSED, code=code)
    console.world.database.transact(device_jobs.answered, DEVICE, refused, now)
    assert f"агент отказал. {shown}" in " ".join(page(console, AT).split())


@pytest.mark.parametrize("path", [AT, "/console/machines", "/console/now"])
def test_so_does_the_reason_why_a_machine_stands(console: Console, path: str) -> None:
    live(
        console,
        DEVICE,
        online=True,
        selling=True,
        machine="ready",
        link="up",
        faults=[{"code": "vendor:e17", "level": "block"}],
    )
    assert "vendor:e17" in page(console, path)
