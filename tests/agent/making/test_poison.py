"""Work that always fails is put away truthfully, and what is behind it goes on."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.cloud.state_message import encoded
from agent.live_state import LiveView
from agent.making import preconditions
from agent.making.follow_drink import DrinkFollower
from agent.making.inquiry import Inquiry
from agent.making.send_make import MakeSender
from protocol.heads import named_by
from protocol.messages import MAX_MESSAGE, Fault, decode_state, encode
from protocol.reasons import AgentCode, Result
from tests.agent.world import BIRTH, World


def run(world: World, seconds: float, until: Callable[[], object] = lambda: False) -> None:
    """As the service does: an error is the worker's to get over."""
    end = world.clock.seconds + seconds
    while world.clock.seconds < end and not until():
        try:
            world.run(1.0, until)
        except OverflowError as error:
            world.worker.abandon(error)
            world.clock.seconds += 1.0


def broken(owner: Any, name: str, order_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this function overflows for this order."""
    original = getattr(owner, name)

    def overflows(*args: Any) -> Any:
        if any(getattr(one, "order_id", "") == order_id for one in args):
            raise OverflowError("date value out of range")
        return original(*args)

    monkeypatch.setattr(owner, name, overflows)


def test_a_command_the_agent_always_fails_at_is_refused_and_the_selling_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(preconditions.Preconditions, "timeliness", "o1", monkeypatch)
    world.order()
    world.order("c2", "o2")
    run(world, 60, lambda: world.outcomes("c2"))
    (outcome,) = world.outcomes()
    assert (outcome.result, outcome.code) == (Result.REJECTED, AgentCode.NEVER_SENT)
    assert world.outcomes("c2")[0].code == AgentCode.NOT_SELLING
    assert "OverflowError" in world.live_state.view.stopped
    assert world.line.makes() == 0


def test_after_the_first_byte_it_is_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(DrinkFollower, "_await_verdict", "o1", monkeypatch)
    broken(Inquiry, "inquire", "o1", monkeypatch)
    world.switch("without_finish")
    world.switch("without_progress")
    world.run(2)
    world.order()
    run(world, 60, lambda: world.outcomes())
    assert world.outcomes()[0].result is Result.UNKNOWN
    assert world.line.makes() == 1


def test_an_intent_nobody_drives_any_more_was_never_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(MakeSender, "send_make", "o1", monkeypatch)
    world.order()
    run(world, 10, lambda: world.outcomes())
    assert (world.outcomes()[0].code, world.line.makes()) == (AgentCode.NEVER_SENT, 0)
    assert not world.live_state.view.stopped


def test_a_row_of_a_strange_time_expires(world: World) -> None:
    world.welcome()
    world.tell(world.make())
    with world.journal.transaction() as connection:
        connection.execute("UPDATE command SET issued_at = '9999-12-31T23:59:00+00:00', deadline_at = issued_at")
    assert world.outcome().code == AgentCode.EXPIRED


def test_a_make_nobody_can_read_is_refused_by_name(world: World) -> None:
    odd = json.loads(encode(world.make())) | {"issued_at": "9999-12-31T23:59:00Z"}
    asked = named_by(json.dumps(odd).encode())
    assert asked is not None
    world.command_handler.refuse_unreadable(asked)
    world.welcome()
    world.tell(world.make())
    assert (world.outcome().result, world.outcomes()[-1].code) == (Result.REJECTED, "bad_body")
    assert named_by(b'{"kind":"make","v":1}') is None
    assert named_by(json.dumps(odd | {"v": 2}).encode()) is None


@pytest.mark.parametrize(("faults", "drinks"), [(20, 105), (64, 512)])
def test_a_state_is_cut_to_what_a_message_holds_and_closes_no_less(faults: int, drinks: int) -> None:
    names = [f"{number:03}" + "напиток-" * 8 for number in range(drinks)]
    standing = {
        f"vendor:e{number}": Fault(code=f"vendor:e{number}", level="block", drinks=names[number:])
        for number in range(faults)
    }
    payload = encoded(LiveView(link="up", faults=standing, stopped=""), "companion-v1", BIRTH)
    state = decode_state(payload)
    assert len(payload) <= MAX_MESSAGE
    assert [fault.code for fault in state.faults] == list(standing)
    closed = {drink for fault in state.faults for drink in fault.drinks or names}
    assert closed == set(names)


def test_a_state_that_can_never_be_said_says_so() -> None:
    state = decode_state(encoded(LiveView(link="up", model="\0", stopped=""), "companion-v1", BIRTH))
    assert not state.selling
    assert state.reason
