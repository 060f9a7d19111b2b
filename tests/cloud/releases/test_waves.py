"""When a rollout goes on and when it stops: pure."""

from datetime import timedelta

import pytest

from cloud.courier.device_jobs import State
from cloud.releases import waves
from cloud.releases.models import Step
from cloud.releases.waves import DEFAULT, MOST_TRIES, BadWaves, Next, Tally, Wait
from tests.cloud.worlds import START

HOUR = timedelta(hours=1)


def told(tally: Tally, *, is_last: bool = False, settled_s: float | None = None, is_paused: bool = False) -> Next:
    settled_at = None if settled_s is None else START - timedelta(seconds=settled_s)
    return waves.next_of(tally, is_last=is_last, settled_at=settled_at, soak=HOUR, now=START, is_paused=is_paused)


@pytest.mark.parametrize(
    ("total", "ends"), [(1000, [1, 50, 250, 1000]), (10, [1, 1, 3, 10]), (1, [1, 1, 1, 1]), (3, [1, 1, 1, 3])]
)
def test_each_wave_reaches_further(total: int, ends: list[int]) -> None:
    assert waves.sizes(DEFAULT, total) == ends
    assert [waves.wave_of(place, ends) for place in (0, total - 1)] == [0, ends.index(total)]


@pytest.mark.parametrize("wanted", [(), ("0",), ("5 %",), ("-1",), ("every",), ("1",) * 11])
def test_waves_that_make_no_sense_are_refused(wanted: tuple[str, ...]) -> None:
    with pytest.raises(BadWaves):
        waves.sizes(wanted, 10)


def test_one_failure_stops_it_whatever_else_there_is() -> None:
    assert told(Tally(waiting=5, asked=3, done=90, failed=1)) is Next.STOP


def test_what_is_paused_only_stops() -> None:
    assert told(Tally(asked=1, failed=1), is_paused=True) is Next.STOP
    for tally in (Tally(waiting=1), Tally(done=2), Tally()):
        assert told(tally, settled_s=9999, is_paused=True) is Next.WAIT
    assert told(Tally(done=2), is_last=True, is_paused=True) is Next.WAIT


def test_a_wave_is_looked_at_before_the_next() -> None:
    assert told(Tally(waiting=1, done=1)) is Next.ASK
    assert told(Tally(asked=1, done=1)) is Next.ASK
    assert told(Tally(done=2)) is Next.SETTLE
    assert told(Tally(done=2), settled_s=3599) is Next.SOAK
    assert told(Tally(done=2), settled_s=3600) is Next.ADVANCE
    assert told(Tally(done=2, gone=1), settled_s=9999) is Next.SOAK
    assert told(Tally(done=2, restarted=1), settled_s=60) is Next.SETTLE, "the soak begins anew"


def test_no_wave_follows_one_of_which_nobody_was_there() -> None:
    assert told(Tally(unreached=1), settled_s=9999) is Next.ASK
    assert told(Tally(done=1, unreached=1), settled_s=9999) is Next.ADVANCE


def test_where_nobody_took_it_one_more_is_asked_alone() -> None:
    assert told(Tally(), settled_s=9999) is Next.BRING_FORWARD
    assert told(Tally(waiting=1)) is Next.ASK


def test_it_ends_when_everybody_was_reached() -> None:
    assert told(Tally(done=5), is_last=True) is Next.FINISH
    assert told(Tally(), is_last=True) is Next.FINISH, "all were skipped"
    assert told(Tally(done=5, unreached=1), is_last=True) is Next.ASK


def test_what_it_waits_for_can_be_told() -> None:
    for tally, is_last, wait in [
        (Tally(asked=2, waiting=1, gone=1, done=1), False, (Wait.ANSWERS, 2)),
        (Tally(waiting=1, unreached=3), False, (Wait.MOMENT, 1)),
        (Tally(unreached=3), False, (Wait.AWAY, 3)),
        (Tally(unreached=3, done=9), True, (Wait.AWAY, 3)),
        (Tally(unreached=3, done=9, gone=2), False, (Wait.GONE, 2)),
        (Tally(), False, (Wait.ANOTHER, 1)),
        (Tally(done=9), False, (Wait.SOAK, 9)),
    ]:
        assert waves.wait_of(tally, is_last=is_last) == wait


def test_what_passes_is_tried_again_and_what_can_never_be_is_left_to_a_person() -> None:
    assert waves.step_of(State.DONE, "", 1) is Step.DONE
    assert waves.step_of(State.EXPIRED, "", 1) is Step.WAITING
    assert waves.step_of(State.REFUSED, "busy", 1) is Step.WAITING
    assert waves.step_of(State.FAILED, "not_fetched", 1) is Step.WAITING
    assert waves.step_of(State.FAILED, "not_fetched", MOST_TRIES) is Step.FAILED
    assert waves.step_of(State.UNSUPPORTED, "", 1) is Step.SKIPPED
    assert waves.step_of(State.REFUSED, "no_release_key", 1) is Step.SKIPPED
    for code in ("rolled_back", "self_test", "bad_signature", "older_version", "storage"):
        assert waves.step_of(State.FAILED, code, 1) is Step.FAILED
    assert waves.step_of(State.SILENT, "", 1) is Step.FAILED
