"""A machine whose answers name no order: the number of the question does. One that names another answers nothing."""

import json
from collections.abc import Callable

import pytest

from protocol.errors import Malformed
from protocol.frames import Frame
from protocol.machine import CancelDrink, CancelReply, OrderReply, RinseReply
from protocol.reasons import AnswerStatus, Result
from tests.agent.making.test_operator_jobs import Desk
from tests.agent.world import World

ANSWERS = (OrderReply.command, CancelReply.command, RinseReply.command)


def leave_out(world: World, *keys: str) -> None:
    """From now on the machine's answers about one order or rinse lack these."""
    say(world, lambda body: {key: value for key, value in body.items() if key not in keys})


def name_another(world: World) -> None:
    say(world, lambda body: {key: "o9" if key in {"orderUuid", "jobUuid"} else value for key, value in body.items()})


def say(world: World, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    def changed(frame: Frame) -> Frame:
        if frame.command not in ANSWERS:
            return frame
        return Frame(frame.command, json.dumps(change(json.loads(frame.body))).encode())

    world.line.in_other_words = changed


def test_what_became_of_a_drink_is_believed(world: World) -> None:
    world.switch("without_finish")
    world.run(2)
    leave_out(world, "orderUuid")
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.evidence.phase) == (Result.DONE, "done")


def test_a_drink_is_taken_back(world: World) -> None:
    leave_out(world, "orderUuid")
    world.order()
    world.run(10, lambda: world.accepted())
    world.cancel()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "cancelled")
    assert world.line.said(CancelDrink) == 1


def test_a_rinse_begins_and_ends(world: World) -> None:
    leave_out(world, "jobUuid")
    world.welcome()
    desk = Desk(world)
    desk.rinse()
    assert desk.wait(2) == [(AnswerStatus.STARTED, ""), (AnswerStatus.DONE, "")]


def test_an_answer_about_another_order_is_none(world: World) -> None:
    world.switch("without_finish")
    world.run(2)
    name_another(world)
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.evidence.phase) == (Result.UNKNOWN, None)


def test_a_rinse_is_not_begun_by_the_answer_to_another(world: World) -> None:
    name_another(world)
    world.welcome()
    desk = Desk(world)
    desk.rinse()
    assert desk.wait() == [(AnswerStatus.UNKNOWN, "machine_offline")]


@pytest.mark.parametrize("left_out", [("orderUuid",), ("orderUuid", "msgId")])
def test_nobody_is_guessed(world: World, left_out: tuple[str, ...]) -> None:
    said = {"msgId": 1, "orderUuid": "o1", "phase": "done", "out": "full", "bootId": "b0", "hist": "nv"}
    body = {key: value for key, value in said.items() if key not in left_out}
    with pytest.raises(Malformed):
        world.driver.read(Frame(OrderReply.command, json.dumps(body).encode()))
