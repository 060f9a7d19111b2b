"""For whom the next wave of a rollout waits, and for whom not."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from cloud.releases import rollouts
from cloud.releases.models import Rollout
from protocol.reasons import AnswerStatus
from tests.cloud.releases.fleet import Fleet
from tests.cloud.worlds import DEVICE, OTHER_DEVICE


def test_a_line_that_is_gone_at_the_end_of_the_soak_has_the_next_wave_wait(fleet: Fleet) -> None:
    fleet.soaks(3600)
    fleet.goes(DEVICE, online=False)
    fleet.step(3600)
    fleet.step(30)
    assert fleet.asked() == []
    fleet.goes(DEVICE, online=True)
    fleet.step(30)
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]


def test_one_that_is_gone_for_more_than_a_day_holds_the_next_wave_no_longer(fleet: Fleet) -> None:
    """Regression: a machine that was switched off for the season held the whole fleet for ever."""
    fleet.add("m-003")
    fleet.start("2", "all")
    fleet.step()
    first, second = fleet.asked()
    for device in (first, second):
        fleet.answer(device, AnswerStatus.DONE)
    fleet.step()
    fleet.goes(first, online=False)
    fleet.step(86_399)
    assert fleet.asked() == []
    fleet.step(1)
    fleet.step()
    assert len(fleet.asked()) == 1


def test_where_the_first_machine_is_gone_for_a_day_another_stands_for_it_alone(fleet: Fleet) -> None:
    """The version may be why it is gone: one more tries it, and is watched as long."""
    fleet.add("m-003")
    fleet.goes("m-003", online=False)
    fleet.soaks(3600)
    fleet.goes(DEVICE, online=False)
    fleet.step(86_400)
    fleet.goes("m-003", online=True)
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]
    fleet.answer(OTHER_DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    fleet.step(3599)
    assert fleet.asked() == []
    fleet.step(1)
    fleet.step()
    assert fleet.asked() == ["m-003"]


@pytest.mark.parametrize("leaves", [Fleet.closes, Fleet.revokes])
def test_a_machine_that_is_out_of_service_holds_nothing_up(fleet: Fleet, leaves: Callable[[Fleet, str], None]) -> None:
    """Regression: updated and then closed, it held the next wave; closed before it was asked, the rollout's end."""
    fleet.add("m-003")
    fleet.soaks(60)
    leaves(fleet, DEVICE)
    leaves(fleet, OTHER_DEVICE)
    fleet.step(30)
    fleet.step()
    assert fleet.asked() == ["m-003"]
    with fleet.world.database.read() as session:
        assert rollouts.counts(session, 1) == [(0, "asked", 1), (0, "done", 1), (1, "out of service", 1)]
    fleet.answer("m-003", AnswerStatus.DONE)
    fleet.step(5)
    assert fleet.state() == ("done", {DEVICE: "done", OTHER_DEVICE: "waiting", "m-003": "done"})
    fleet.start("all", first=())
    assert set(fleet.state(2)[1]) == {"m-003"}


def test_a_spare_computer_with_the_version_before_is_asked_anew(fleet: Fleet) -> None:
    """Regression: nobody asked it, and the next wave waited for it."""
    fleet.soaks(60)
    fleet.runs(DEVICE, "0.1.0")
    fleet.step(299)
    assert fleet.asked() == [], "what it runs may be told later than its answer"
    fleet.step(1)
    assert fleet.asked() == [DEVICE]
    fleet.answer(DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    fleet.step(60)
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]


def test_a_machine_that_runs_another_version_again_and_again_stops_it(fleet: Fleet) -> None:
    fleet.start()
    for _ in range(5):
        fleet.step()
        fleet.answer(DEVICE, AnswerStatus.DONE, version="0.1.0")
        fleet.step()
        fleet.step(300)
    assert fleet.state() == ("stopped", {DEVICE: "failed", OTHER_DEVICE: "waiting"})
    with fleet.world.database.read() as session:
        assert session.scalars(select(Rollout)).one().why == f"{DEVICE}: other_version it runs 0.1.0"


def test_an_agent_that_starts_again_during_the_soak_begins_it_anew(fleet: Fleet) -> None:
    """Regression: they were looked at once, at its end; one that crashed at every drink was there then."""
    fleet.soaks(3600)
    fleet.world.database.transact(fleet.starts, OTHER_DEVICE, fleet.world.clock.advance(1700))
    fleet.world.database.transact(fleet.starts, DEVICE, fleet.world.clock.advance(1800))
    fleet.step(101)
    fleet.step(3599)
    assert fleet.asked() == []
    fleet.world.database.transact(fleet.starts, OTHER_DEVICE, fleet.world.now)  # none of the wave's
    fleet.step(1)
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]


def test_a_first_machine_that_is_skipped_is_no_test_of_the_version(fleet: Fleet) -> None:
    """Regression: the next wave was the first to try it."""
    fleet.add("m-003")
    fleet.goes("m-003", online=False)
    fleet.start("1", "all")
    fleet.step()
    fleet.answer(DEVICE, AnswerStatus.REFUSED, "no_release_key")
    fleet.step(5)
    fleet.step(30)
    assert fleet.asked() == [OTHER_DEVICE]
    fleet.goes("m-003", online=True)
    fleet.answer(OTHER_DEVICE, AnswerStatus.DONE)
    fleet.step(5)
    fleet.step(59)
    assert fleet.asked() == [], "it stands for the first wave, and is watched"
    fleet.step(1)
    fleet.step()
    assert fleet.asked() == ["m-003"]
    fleet.answer("m-003", AnswerStatus.DONE)
    fleet.step(5)
    assert fleet.state()[0] == "done"


def test_where_every_agent_is_too_old_it_ends(fleet: Fleet) -> None:
    fleet.start("1", "all")
    for device in (DEVICE, OTHER_DEVICE):
        fleet.step(30)
        fleet.step()
        fleet.answer(device, AnswerStatus.REFUSED, "no_release_key")
        fleet.step(5)
    assert fleet.state() == ("done", {DEVICE: "skipped", OTHER_DEVICE: "skipped"})


def test_a_machine_that_is_not_there_is_asked_when_it_is(fleet: Fleet) -> None:
    fleet.goes(DEVICE, online=False)
    fleet.start("all")
    fleet.step()
    assert fleet.asked() == [OTHER_DEVICE]
    fleet.goes(DEVICE, online=True)
    fleet.step(30)
    assert fleet.asked() == [DEVICE, OTHER_DEVICE]
