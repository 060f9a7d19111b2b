"""Many orders in one transaction end as each would have alone: what is shared is the statements, not the judgement."""

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from cloud.database.database import Database
from cloud.orders import making, paying
from cloud.orders.locked_order import lock_order, order_key
from cloud.orders.money import PaymentAnswer, PaymentState
from protocol.messages import Accepted, Evidence, Outcome, Progress
from protocol.reasons import Result, Spout, Stage
from tests.cloud.worlds import DEVICE, HOLD, ONE_STAGE, World, publish

FOR_EVER_S = 3600.0
"""Everything waits for the end, and is written as one."""
ORDERS = 12


@dataclass(frozen=True)
class Step:
    """Something that is told about an order."""

    rule: Callable[..., Any]
    facts: tuple[Any, ...]


def steps_of(world: World, order_id: str, chance: random.Random) -> list[Step]:
    """Some news of an order in some order, late, doubled and senseless ones among them."""
    make, payment = world.command(order_id), world.payment(order_id)
    of_command: dict[str, Any] = {"command_id": make.id, "order_id": order_id}

    def told(state: PaymentState) -> Step:
        captured = payment.amount if state is PaymentState.CAPTURED else 0
        answer = PaymentAnswer(state, payment.provider_payment_id or "", captured=captured)
        return Step(paying.record_payment_answer, (payment.id, answer, world.rules, world.now))

    def reported(result: Result, code: str, revision: int) -> Step:
        said = Outcome(
            message_id=f"o{revision}", result=result, code=code, out=Spout.UNKNOWN, revision=revision,
            evidence=Evidence(rule="said so"), at=world.now, **of_command,
        )  # fmt: skip
        return Step(making.record_outcome, (DEVICE, said, world.rules, world.now))

    accepted = Accepted(message_id="a", at=world.now, **of_command)
    possible = [
        Step(publish, (order_id, make.id, world.rules, world.now)),
        Step(making.record_acceptance, (DEVICE, accepted, world.rules, world.now)),
        Step(making.record_progress, (DEVICE, Progress(stage=Stage.CUP, pct=40, **of_command), world.rules, world.now)),
        reported(Result.DONE, "", chance.choice([1, 2])),
        reported(Result.REJECTED, "no_water", 1),
        reported(Result.UNKNOWN, "", 1),
        told(PaymentState.CAPTURED),
        told(PaymentState.HELD),
        told(PaymentState.CANCELED),
        Step(paying.ask_soon, (payment.id, world.now)),
    ]
    return chance.choices(possible, k=chance.randrange(6))


def standing(world: World, order_id: str) -> list[Any]:
    """Everything the database holds of an order, but for the names that differ between twins."""
    order, payment = world.order(order_id), world.payment(order_id)
    facts: list[Any] = [
        (order.status, order.reason, order.stage, order.progress, order.version, order.uncertain, order.goodwill),
        (order.due_at, order.return_after, order.paid_at, order.finished_at),
        (payment.state, payment.live, payment.captured, payment.refunded, payment.next_check_at),
        world.ledger(order_id),
    ]
    facts += [
        (c.attempt, c.live, c.published_at, c.accepted_at, c.result, c.revision) for c in world.commands(order_id)
    ]
    facts += [(c.version, c.event, c.status_before, c.status_after, c.reason) for c in world.history(order_id)]
    facts += [(r.task, r.verdict, r.amount, r.due_at, r.settled_at, r.claimed_by) for r in world.rows(order_id)]
    return facts


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 6))])
def test_in_one_transaction_each_order_ends_as_it_would_have_alone(world: World, seed: int) -> None:
    alone, shared = [f"alone-{number}" for number in range(ORDERS)], [f"shared-{number}" for number in range(ORDERS)]
    for order_id, twin in zip(alone, shared, strict=True):
        account = HOLD if order_id.endswith(("0", "3", "6", "9")) else ONE_STAGE
        for each in (order_id, twin):
            world.pay(each, account)
    world.clock.advance(5)
    for number, order_id in enumerate(alone):
        for step in steps_of(world, order_id, random.Random(f"{seed} {number}")):
            world.database.transact(step.rule, *step.facts)
    url = world.database.url.render_as_string(hide_password=False)
    commits: list[object] = []
    with closing(Database(url, patience_s=FOR_EVER_S)) as database:
        event.listen(database._together.engine, "commit", commits.append)
        told = [
            partial(database.transact, step.rule, *step.facts, key=order_key(twin), deferred=True)
            for number, twin in enumerate(shared)
            for step in steps_of(world, twin, random.Random(f"{seed} {number}"))
        ]
        futures = [tell() for tell in told]
    assert [future.exception(0) for future in futures] == [None] * len(futures)
    assert len(commits) == 1
    for order_id, twin in zip(alone, shared, strict=True):
        assert standing(world, twin) == standing(world, order_id), twin


def test_one_order_that_cannot_be_written_keeps_no_other_from_it(world: World) -> None:
    good, bad = world.pay(), world.pay()
    command_id = world.command(bad).id
    url = world.database.url.render_as_string(hide_password=False)

    def twice(tx: Any) -> None:
        publish(tx, bad, command_id, world.rules, world.now)
        making.issue_command(lock_order(tx, bad), world.rules, world.now).live = True

    with closing(Database(url, patience_s=FOR_EVER_S)) as database:
        published = database.transact(
            publish, good, world.command(good).id, world.rules, world.now, key=order_key(good), deferred=True
        )
        refused = database.transact(twice, key=order_key(bad), deferred=True)
    assert published.exception(0) is None
    assert "unique" in str(refused.exception(0)).lower()
    assert (world.status(good), world.status(bad)) == ("make_pending", "paid")


def test_an_order_nobody_knows_is_no_trouble_for_the_others(world: World) -> None:
    order_id = world.pay()
    url = world.database.url.render_as_string(hide_password=False)
    with closing(Database(url, patience_s=FOR_EVER_S)) as database:
        published = database.transact(
            publish,
            order_id,
            world.command(order_id).id,
            world.rules,
            world.now,
            key=order_key(order_id),
            deferred=True,
        )
        said = Accepted(message_id="a", command_id="mk-none", order_id="nobody's", at=world.now)
        unknown = database.transact(
            making.record_acceptance, DEVICE, said, world.rules, world.now, key=order_key("nobody's"), deferred=True
        )
    assert (published.exception(0), unknown.exception(0)) == (None, None)
    assert world.status(order_id) == "make_pending"
