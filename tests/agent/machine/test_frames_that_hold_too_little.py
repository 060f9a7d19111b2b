"""An order that fits no frame is refused by name; the line, and the next order, do not notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.machine.profile import BadProfile, Profile, read
from protocol.messages import Answer, Rinse
from protocol.reasons import AnswerStatus, RejectCode, Result, RinseProgram
from tests.agent.world import World

SMALL = read({"name": "small", "framing": {"max_content": 256}}, "small.toml")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "state", profile=SMALL)
    yield made
    made.close()


@pytest.mark.parametrize("order_id", ["x" * 255, "💧" * 255], ids=["letters", "drops"])
def test_a_make_that_fits_no_frame_is_refused_and_the_line_untouched(small: World, order_id: str) -> None:
    small.order("c1", order_id)
    outcome = small.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, RejectCode.BAD_BODY)
    small.order("c2", "o2")
    assert small.outcome("c2").result is Result.DONE
    assert (small.line.makes(), small.live_state.view.link) == (1, "up")


def test_a_rinse_of_too_long_a_name_is_refused(small: World) -> None:
    made = small.make()
    small.welcome()
    job = Rinse(job_id="j" * 255, issued_at=made.issued_at, deadline_at=made.deadline_at, program=RinseProgram.RINSE)
    small.tell(job)
    said: list[Answer] = []
    small.run(10, lambda: said.extend(small.live_state.take_answers()))
    assert [(one.status, one.code) for one in said] == [(AnswerStatus.REFUSED, RejectCode.BAD_BODY)]
    assert small.live_state.view.link == "up"


def test_the_cloud_is_told_how_much_fits(small: World) -> None:
    room = small.live_state.view.make_room
    assert room is not None
    for length, fits in (
        (room - len("americano") - len("17900"), True),
        (room - len("americano") - len("17899") + 1, False),
    ):
        small.order(f"c{length}", "x" * length)
        assert (small.outcome(f"c{length}").result is Result.DONE) is fits


@pytest.mark.parametrize(
    "data",
    [
        {"framing": {"max_content": 128}},
        {"framing": {"max_content": 256}, "sizes": {"small": "s" * 200}},
        {"framing": {"max_content": 256}, "drinks": {"americano": {"drink_no": "d" * 128}}},
        {"framing": {"max_content": 256}, "keys": {"orderUuid": "o" * 64, "drinkNo": "d" * 64, "price": "p" * 64}},
    ],
)
def test_a_profile_whose_frames_hold_no_ordinary_make_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(BadProfile, match=r"framing\.max_content: an ordinary make needs"):
        read({"name": "x", **data}, "x.toml")


def test_a_mapped_drink_takes_from_the_room() -> None:
    mapped: Profile = read({"name": "x", "drinks": {"1": {"drink_no": "d" * 41}}}, "x.toml")
    assert mapped.make_room == read({"name": "x"}, "x.toml").make_room - 40
