"""A journal that is new, was damaged or is an old copy claims nothing of commands from before it was there."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.journal import journal as journal_module
from agent.journal.sales_block import SalesBlock
from protocol.messages import Accepted, Cancel, Make, Message, Outcome, Query
from protocol.reasons import Result
from tests.agent.journal.test_memory import (
    Damage,
    asked,
    asked_by_an_older_cloud,
    damaged,
    poured,
    restart_anew,
    wiped,
)
from tests.agent.world import World


@pytest.mark.parametrize("change", [wiped, damaged])
@pytest.mark.parametrize("ask", [asked, asked_by_an_older_cloud])
@pytest.mark.parametrize("days", [0, -730])
def test_a_journal_younger_than_the_command_asks_the_machine(
    world: World, change: Damage, ask: Callable[[Make], Query], days: int
) -> None:
    make = poured(world)
    world.clock.skew = timedelta(days=days)
    restart_anew(world, change)
    world.clock.skew = timedelta()
    world.welcome()
    world.run(1)
    world.tell(ask(make))
    outcome = world.outcome()
    assert outcome.result is Result.DONE
    assert outcome.revision > 1, "an earlier journal may have told that nobody knows"


@pytest.mark.parametrize("change", [wiped, damaged])
@pytest.mark.parametrize("skew", [-600, -30, 0])
def test_a_journal_younger_than_the_command_lets_it_go_on_no_word_of_its_own_clock(
    world: World, change: Damage, skew: int
) -> None:
    """Regression: by a clock that was behind it had come in this run, and was cancelled as certainly nothing."""
    make = poured(world)
    world.clock.skew = timedelta(seconds=skew)
    restart_anew(world, change)
    world.run(20)
    world.tell(make)
    world.tell(Cancel(command_id=make.command_id, order_id=make.order_id))
    world.run(1)
    world.welcome()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


@pytest.mark.parametrize("change", [wiped, damaged])
def test_a_journal_younger_than_the_command_refuses_nothing_for_a_short_disk(
    world: World, change: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it was refused as certainly nothing, though the machine had poured it."""
    make = poured(world)
    restart_anew(world, change)
    monkeypatch.setattr(SalesBlock, "shortage", lambda _: "storage: 1 MiB is free")
    world.tell(make)
    world.welcome()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


@pytest.mark.parametrize("change", [wiped, damaged])
def test_a_journal_younger_than_the_command_does_not_pour_it(world: World, change: Damage) -> None:
    world.switch("without_dedup")
    make = poured(world)
    restart_anew(world, change)
    world.tell(make)
    world.welcome()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


@pytest.mark.parametrize(
    ("waited_for", "cups"),
    [(None, 1), (frozenset({"c1"}), 1), (frozenset(), 0)],
    ids=["not told", "waited for", "over"],
)
def test_a_journal_younger_than_the_command_begins_only_what_the_cloud_waits_for(
    world: World, waited_for: frozenset[str] | None, cups: int
) -> None:
    """Regression: a copy that came late, of an order that was over, was poured by an agent with a new card."""
    make = world.make()
    restart_anew(world, wiped)
    world.live_state.update(waited_for=waited_for)
    world.tell(make)
    world.welcome()
    wanted = Result.DONE if cups else Result.REJECTED
    assert world.outcome().result is wanted
    assert world.cups() == cups


def test_a_journal_younger_than_the_command_says_of_a_machine_without_memory_that_nobody_knows(world: World) -> None:
    for name in ("without_dedup", "without_order", "without_nv"):
        world.switch(name)
    world.restart()
    world.run(3)
    make = poured(world)
    restart_anew(world, wiped)
    world.tell(make)
    world.welcome()
    assert world.outcome().result is Result.UNKNOWN
    assert world.cups() == 1


def older_copy(world: World, tmp_path: Path) -> Damage:
    """The folder as it is now, to be put back later."""
    shutil.copytree(world.folder, tmp_path / "copy")

    def put_back(world: World) -> None:
        shutil.rmtree(world.folder)
        shutil.copytree(tmp_path / "copy", world.folder)

    return put_back


@pytest.mark.parametrize("by_query", [True, False])
def test_an_older_copy_asks_the_machine(world: World, tmp_path: Path, by_query: bool) -> None:
    world.switch("without_dedup")
    world.welcome()
    world.run(3)
    put_back = older_copy(world, tmp_path)
    make = poured(world)
    restart_anew(world, put_back)
    world.welcome()
    world.tell(asked(make) if by_query else make)
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_an_older_copy_that_is_told_to_cancel_asks_the_machine(world: World, tmp_path: Path) -> None:
    world.switch("without_dedup")
    world.welcome()
    world.run(3)
    put_back = older_copy(world, tmp_path)
    make = poured(world)
    restart_anew(world, put_back)
    world.welcome()
    world.command_handler.handle(make)
    world.cancel()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_an_older_copy_uses_no_message_id_again(world: World, tmp_path: Path) -> None:
    put_back = older_copy(world, tmp_path)
    said: dict[str, Message] = {}
    for name in ("c1", "c2"):
        world.order(name, f"order of {name}")
        world.outcome(name)
        said |= everything_said(world)
    restart_anew(world, put_back)
    world.order("c3", "o3")
    world.outcome("c3")
    assert all(said.get(message_id, one) == one for message_id, one in everything_said(world).items())


def everything_said(world: World) -> dict[str, Message]:
    reports = [one for one in world.reports() if isinstance(one, Outcome | Accepted)]
    return {one.message_id: one for one in (*reports, *world.told())}


def test_what_is_forgotten_by_the_count_is_asked_about(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEEP_COMMANDS", 1)
    make = poured(world)
    world.clock.seconds += 1
    world.order("c2", "o2")
    world.outcome("c2")
    world.confirm_all()
    world.journal.prune()
    assert world.journal.get("c1") is None
    world.tell(asked(make))
    assert world.outcome().result is Result.DONE
