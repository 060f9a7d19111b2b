"""What a machine may say of one order for ever: its history keeps so much of it, and the order still comes right."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.silence import TRUST
from cloud.orders.machine_words import MOST_WORDS
from cloud.orders.models import OrderChange
from protocol.reasons import AgentCode, DoubtCode, Result
from tests.cloud.worlds import ONE_STAGE, World


def sent(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    return order_id


def told_by(world: World, order_id: str, actor: str = "device") -> list[OrderChange]:
    return [change for change in world.history(order_id) if change.actor == actor]


@pytest.mark.parametrize(
    ("result", "code"),
    [(Result.UNKNOWN, ""), (Result.FAILED, "flow"), (Result.REJECTED, AgentCode.NEVER_RECEIVED)],
)
def test_a_stolen_machine_fills_no_history(sqlite_world: World, result: Result, code: str) -> None:
    world, order_id = sqlite_world, sent(sqlite_world)
    world.accept(order_id)
    for revision in range(1, 5 * MOST_WORDS):
        world.report(order_id, result, code, revision=revision)
    assert len(told_by(world, order_id)) == MOST_WORDS
    assert (world.command(order_id).revision, world.status(order_id)) == (revision, "make_failed")
    version = world.order(order_id).version
    world.report(order_id, result, code, revision=999_999)
    assert world.order(order_id).version == version, "nobody is woken for it"
    world.report(order_id, Result.DONE, revision=1_000_000)
    assert world.status(order_id) == "successful"
    assert world.history(order_id)[-1].event == "machine_done"


def test_nor_does_one_whose_silence_is_trusted(sqlite_world: World) -> None:
    world = sqlite_world

    def trust(tx: Transaction) -> None:
        tx.session.execute(update(Device).values(unobserved=TRUST))

    world.database.transact(trust)
    order_id = sent(world)
    for revision in range(1, 3 * MOST_WORDS):
        world.report(order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE, revision=revision)
    assert len(told_by(world, order_id)) == MOST_WORDS
    assert len(told_by(world, order_id, "merchant")) == MOST_WORDS + 1
    world.report(order_id, Result.FAILED, "flow", revision=1000)
    assert world.status(order_id) == "make_failed", "trust is refuted at any time"


def test_certainty_after_any_number_of_doubts_returns_the_money(sqlite_world: World) -> None:
    world, order_id = sqlite_world, sent(sqlite_world)
    for revision in range(1, 2 * MOST_WORDS):
        world.report(order_id, Result.UNKNOWN, revision=revision)
    assert world.order(order_id).uncertain
    world.report(order_id, Result.FAILED, "flow", revision=1000)
    order = world.order(order_id)
    assert (order.reason, order.uncertain, order.return_after) == ("failed:flow", False, None)
    assert world.history(order_id)[-1].event == "machine_refused"
    world.report(order_id, Result.FAILED, "another", revision=1001)
    assert world.order(order_id).reason == world.history(order_id)[-1].reason == "failed:flow"


@contextmanager
def said_of_histories() -> Iterator[list[str]]:
    """How each statement about them begins, whoever in this process says it."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "order_changes" in statement:
            said.append(" ".join(statement.split()[:2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("revision", [1, 1000])
def test_what_is_waited_for_is_written_without_a_look(sqlite_world: World, revision: int) -> None:
    """An honest agent begins at 1000, too: what an earlier journal told of the command it does not know."""
    world, unsure, done = sqlite_world, sent(sqlite_world), sent(sqlite_world)
    with said_of_histories() as said:
        for order_id, result in ((done, Result.DONE), (unsure, Result.UNKNOWN), (unsure, Result.FAILED)):
            world.report(order_id, result, revision=revision)
    assert said == ["INSERT INTO"] * 3
