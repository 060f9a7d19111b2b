"""A job asked of one agent from a command line: its own last word, and no report is taken from the workers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs

from cloud.courier import jobs
from cloud.courier.broker import NotConnected
from cloud.settings import Settings
from protocol.messages import Answer, Message, Resume, Unsupported
from protocol.reasons import AnswerStatus
from tests.cloud.courier.rig import Rig
from tests.cloud.worlds import DEVICE, SECRET_KEY, START
from tests.programs import free_port
from tests.waiting import wait_until


def settings_of(rig: Rig) -> Settings:
    return Settings(SECRET_KEY, mqtt_url=f"mqtt://127.0.0.1:{rig.port}")


def said_by(rig: Rig, *answers: Message) -> jobs.Said | None:
    """What a `resume` comes to when the agent answers it with these."""
    machine = rig.machine()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(jobs.resume, settings_of(rig), DEVICE, "anna", START, accept_loss=True)
        wait_until(lambda: machine.commands, what="the job")
        [job] = machine.commands
        assert isinstance(job, Resume)
        assert (job.by, job.accept_loss) == ("anna", True)
        for answer in answers:
            machine.say(structs.replace(answer, reference=job.job_id))
        return asked.result(30)


def answer(status: AnswerStatus) -> Answer:
    return Answer(reference="x", asked="resume", status=status)


def test_its_last_word_counts(sqlite_rig: Rig) -> None:
    said = said_by(sqlite_rig, answer(AnswerStatus.STARTED), answer(AnswerStatus.REFUSED))
    assert isinstance(said, Answer)
    assert said.status is AnswerStatus.REFUSED


def test_an_older_agent_says_so(sqlite_rig: Rig) -> None:
    said = said_by(sqlite_rig, Unsupported(unknown_kind="resume", reference="x"))
    assert isinstance(said, Unsupported)


def test_silence_is_no_answer_and_workers_lose_no_report_by_it(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_S", 1.5)
    reports = [Unsupported(unknown_kind="polish", reference=f"r-{number}") for number in range(6)]
    machine = sqlite_rig.machine()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(jobs.resume, settings_of(sqlite_rig), DEVICE, "anna", START, accept_loss=False)
        wait_until(lambda: machine.commands, what="the job")
        for report in reports:
            machine.say(report)
        assert asked.result(30) is None
    wait_until(lambda: sqlite_rig.link.inbox.qsize() == len(reports), what="the workers' link to have all of them")


def test_without_a_broker_nothing_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CONNECT_S", 0.2)
    settings = Settings(SECRET_KEY, mqtt_url=f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(NotConnected):
        jobs.resume(settings, DEVICE, "anna", START, accept_loss=False)
