"""A seed is a world: told twice it is the same to the byte. Also what makes it so: faults, time, leaving out."""

import gc
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client
import pytest

import cloud.courier.broker_session
import cloud.database.database
import cloud.payments.yookassa.client
from cloud.payments.outcomes import NotSent, Unknown
from cloud.payments.transport import Question, Reply
from simulator.yookassa.state import Status
from simulator.yookassa.terms import Terms
from tests.simulation import fleet
from tests.simulation.__main__ import main
from tests.simulation.faults import Faults
from tests.simulation.mixes import FAMILIES, LATER_FAMILIES
from tests.simulation.planted import BUGS, hunt
from tests.simulation.provider import Keys, ProviderSide
from tests.simulation.recording import Sums, recorded
from tests.simulation.runs import Report, run
from tests.simulation.scheduler import Killed, NoAnswer, Process, Scheduler, Spinning
from tests.simulation.shrinking import fewest
from tests.simulation.timeline import Timeline
from tests.simulation.workshop import Workshop
from tests.simulation.world import World

OPENED = b'{"amount":{"value":"179.00","currency":"RUB"},"confirmation":{"type":"redirect","return_url":"https://a.b"},"metadata":{"order_id":"o1"}}'
ROOT = Path(__file__).parents[2]
BUSY_SEED, CALM_SEED = 10707, 17
"""Short worlds: one of every family of faults, with a web process and a worker, and one of no fault."""


@pytest.mark.timeout(400)
def test_the_same_seed_is_the_same_world_with_exactly_its_faults_in_another_process_and_with_other_hashes(
    workshop: Workshop,
) -> None:
    told = workshop.tell(BUSY_SEED)
    assert workshop.tell(BUSY_SEED, only=frozenset(told.struck)).digest == told.digest
    again = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(BUSY_SEED), "--whole", "--no-shrink"], cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert told.timeline.text() in again.stdout
    assert told.digest[:16] in again.stdout


def test_between_worlds_the_real_code_stands(workshop: Workshop) -> None:
    """The other tests of this process must not be given a client of a world that is over."""
    modules = (paho.mqtt.client, cloud.courier.broker_session, cloud.database.database, cloud.payments.yookassa.client)
    before = [dict(vars(module)) for module in modules]
    workshop.tell(CALM_SEED)
    assert [dict(vars(module)) for module in modules] == before
    assert paho.mqtt.client.Client.__module__ == "paho.mqtt.client"


def test_a_world_that_is_over_is_forgotten(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them would not fit into memory."""
    worlds: list[weakref.ref[World]] = []
    found = World._found

    def remembered(world: World) -> None:
        worlds.append(weakref.ref(world))
        found(world)

    monkeypatch.setattr(World, "_found", remembered)
    for seed in (BUSY_SEED, CALM_SEED):
        workshop.tell(seed)
    gc.collect()
    assert worlds[0]() is None


def test_an_order_that_was_forgotten_before_it_was_begun_is_no_forgotten_drink(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: in one of two thousand worlds the judge looked for the moment it began, and fell."""
    said: list[bool] = []
    lived = World._run

    def asked(world: World) -> None:
        lived(world)
        world.agents[0].machine.forgotten.add("taken")
        said.append(world.nobody_remembers("taken"))

    monkeypatch.setattr(World, "_run", asked)
    workshop.tell(CALM_SEED)
    assert said == [False]


def test_questions_about_open_payments_wake_the_provider_no_more_often(workshop: Workshop) -> None:
    """Regression: an hour's questions were thousands of looks at the moment the payments expired (seed 1001)."""
    scheduler, shop = Scheduler(lambda _process, _where: None, lambda: None), fleet.SHOPS["north"]
    timeline = Timeline(lambda: scheduler.now)
    side = ProviderSide(scheduler, Faults(1, {}), timeline, [shop], Terms(), seed=1)
    for number in range(2):
        opened = side.serve((shop.id, shop.secret), Question("POST", "/payments", 5.0, body=OPENED, key=str(number)))
        assert opened.status == 200
        for _ in range(100):
            side.serve((shop.id, shop.secret), Question("GET", "/payments", 5.0))
        scheduler.run(until=1.0 + number, is_over=lambda: False)
    before = scheduler.steps
    scheduler.run(until=2 * 3600.0, is_over=lambda: False)
    assert {payment.status for payment in side.payments()} == {Status.CANCELED}
    assert scheduler.steps - before < 20


def test_a_lagging_copy_of_the_books_shows_a_payment_as_it_was() -> None:
    scheduler, shop = Scheduler(lambda _process, _where: None, lambda: None), fleet.SHOPS["north"]
    side = ProviderSide(scheduler, Faults(1, {}), Timeline(lambda: scheduler.now), [shop], Terms(), seed=1)
    side.serve((shop.id, shop.secret), Question("POST", "/payments", 5.0, body=OPENED, key="1"))
    (payment,) = side.payments()
    scheduler.run(until=60.0, is_over=lambda: False)
    assert side.pay(f"?orderId={payment.id}", "bank_card")
    lagging = side.as_it_was(payment.id, 30.0)
    assert lagging is not None
    assert b'"status":"pending"' in (lagging.body or b"")
    assert side.as_it_was(payment.id, 90.0) is None


def test_without_its_faults_it_is_another(workshop: Workshop) -> None:
    calm = workshop.tell(BUSY_SEED, only=frozenset())
    assert calm.struck == ()
    assert calm.broken == ()


@pytest.mark.timeout(400)
def test_a_range_tells_each_world_once_and_in_order() -> None:
    assert [report.seed for report in run(range(CALM_SEED, CALM_SEED + 3), processes=1)] == [17, 18, 19]


@pytest.mark.timeout(400)
def test_a_range_over_processes_ends_with_zero_and_its_page_says_what_was_seen_and_how_to_see_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "worlds.md"
    assert main(["--from", str(CALM_SEED), "--count", "2", "--processes", "2", "--record", str(page)]) == 0
    assert "seeds 17 to 18: every promise kept" in capsys.readouterr().out
    words = page.read_text(encoding="utf-8")
    assert "**Every promise was kept in every world.** 2 worlds" in words
    assert "| Seeds | 17 to 18 |" in words
    assert "--from 17 --count 2" in words
    assert re.search(r"^\| (successful|(make_)?failed \S.*) \| \d+ \| \d+\.\d % \|$", words, re.MULTILINE), "an end"
    assert all(f"`{kind}`" in words for rates in (FAMILIES | LATER_FAMILIES).values() for kind in rates)


def test_the_page_names_every_seed_that_broke_a_promise() -> None:
    sums = Sums(7)
    report = Report(7, ("promise 4 broken: a kopeck is gone",), 1, 1, (("webhook.lost", 2),), 3, 9.0, "", ("not_paid",))
    sums.add(report)
    words = recorded(sums, 60.0, 2)
    assert "**Not every promise was kept (see the end).**" in words
    assert "- seed 7: promise 4 broken: a kopeck is gone" in words
    assert "| not_paid | 1 | 100.0 % |" in words
    assert "| webhooks | `webhook.lost` | 2 | 1 |" in words


def test_a_wrong_wish_is_refused() -> None:
    with pytest.raises(SystemExit) as end:
        main(["--seed", "many"])
    assert end.value.code == 2


def test_a_failure_is_told_with_its_seed_and_its_story(workshop: Workshop) -> None:
    bug = next(bug for bug in BUGS if bug.name == "nobody takes the hold")
    told = hunt(workshop, bug)
    assert told is not None
    story = told.timeline.text(80)
    assert all(who in story for who in ("agent", "provider", "PROMISE"))
    assert any(broken.number == 3 for broken in told.broken)


# Leaving faults out


def test_what_is_not_needed_is_left_out() -> None:
    asked: list[Sequence[str]] = []

    def still_breaks(names: Sequence[str]) -> bool:
        asked.append(names)
        return {"c", "f"} <= set(names)

    assert fewest(list("abcdefgh"), still_breaks, 100) == ["c", "f"]
    assert len(asked) < 40


def test_it_stops_when_it_has_tried_enough() -> None:
    assert fewest(list("abcd"), lambda _: False, 3) == list("abcd")


# Faults and time


def test_a_fault_has_a_name_and_strikes_again_by_it() -> None:
    first = Faults(1, {"lost": 0.5})
    struck = [first.strikes("lost") for _ in range(20)]
    again = Faults(1, {"lost": 0.5}, only=frozenset(first.struck[:2]))
    assert [name for name in (again.strikes("lost") for _ in range(20)) if name] == [s for s in struck if s][:2]
    assert again.random("lost#1").random() == first.random("lost#1").random()


def test_nothing_strikes_when_the_faults_are_over() -> None:
    faults = Faults(1, {"lost": 0.9})
    faults.is_over = True
    assert not any(faults.strikes("lost") for _ in range(50))


def a_scheduler() -> tuple[Scheduler, list[str]]:
    died: list[str] = []
    return Scheduler(lambda process, where: died.append(f"{process}: {where}"), lambda: None), died


def test_while_a_task_sleeps_everything_else_goes_on() -> None:
    scheduler, _ = a_scheduler()
    said: list[tuple[float, str]] = []
    one = Process("one")

    def task() -> None:
        scheduler.sleep(10)
        said.append((scheduler.now, "woken"))

    scheduler.spawn(one, task)
    scheduler.at(5, lambda: said.append((scheduler.now, "meanwhile")))
    scheduler.run(60, lambda: False)
    assert said == [(5, "meanwhile"), (10, "woken")]


def test_what_a_dead_process_was_about_to_do_is_never_done() -> None:
    scheduler, died = a_scheduler()
    said: list[str] = []
    one, other = Process("one"), Process("other")

    def task() -> None:
        try:
            scheduler.sleep(10)
            said.append("never")
        except Killed:
            said.append("killed")
            raise

    def ask() -> None:
        try:
            scheduler.ask(one, lambda: scheduler.sleep(20))
        except NoAnswer:
            said.append("no answer")

    scheduler.spawn(one, task)
    scheduler.spawn(other, ask)
    scheduler.at(20, lambda: said.append("never"), one)
    scheduler.at(5, lambda: scheduler.kill(one, "here"))
    scheduler.run(60, lambda: False)
    assert said == ["killed", "no answer"]
    assert died == ["one: here"]


def test_what_a_process_had_planned_before_its_death_is_not_done_after_its_restart() -> None:
    """Regression: loops of before a crash went on stepping beside those of the new start."""
    scheduler, _ = a_scheduler()
    said: list[str] = []
    one = Process("one")
    scheduler.at(5, lambda: said.append("planned before"), one)
    scheduler.kill(one, "here")
    one.alive = True
    scheduler.at(5, lambda: said.append("planned after"), one)
    scheduler.run(10, lambda: False)
    assert said == ["planned after"]


def test_a_process_that_stands_still_does_later_what_was_due() -> None:
    scheduler, _ = a_scheduler()
    said: list[float] = []
    one = Process("one", paused_until=7)
    scheduler.at(5, lambda: said.append(scheduler.now), one)
    scheduler.run(60, lambda: False)
    assert said == [7]


def test_something_that_wakes_itself_for_ever_is_noticed() -> None:
    scheduler, _ = a_scheduler()

    def again() -> None:
        scheduler.at(scheduler.now, again)

    again()
    with pytest.raises(Spinning):
        scheduler.run(1, lambda: False)


ASKED = Question("POST", "/refunds", 30.0, key="ref-1", body=b"{}")
AGAIN = Question("POST", "/refunds", 30.0, key="ref-2", body=b"{}")


@pytest.mark.parametrize(
    ("replies", "complaints"),
    [
        ([Reply(429, b"")], 0),
        ([NotSent("no connection"), Reply(429, b"")], 0),
        ([Reply(200, b"")], 0),
        ([Unknown("HTTP 500")], 1),
        ([Unknown("HTTP 500"), Reply(429, b"")], 1),
        ([Unknown("HTTP 500"), Reply(400, b"")], 0),
    ],
)
def test_another_key_is_wrong_only_while_an_earlier_one_may_have_done_it(
    replies: list[Reply | NotSent | Unknown], complaints: int
) -> None:
    """A key turned away at the door and then withdrawn was called unanswered (a world of ten thousand found that)."""
    heard: list[str] = []
    keys = Keys(heard.append)
    for reply in replies:
        keys.ended(ASKED, keys.sent(ASKED), reply)
    keys.sent(AGAIN)
    assert len(heard) == complaints
