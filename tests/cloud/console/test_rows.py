"""The list of orders: by key, within the scope, each filter what it says, found by an index however many there are."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cloud.access.person import EVERYTHING, NOTHING, Scope
from cloud.console.orders import rows
from cloud.console.orders.query import Query, parse
from cloud.console.orders.rows import Chip, Filters, listed, named, numbered
from cloud.console.shell.paging import PAGE, Key
from cloud.fleet.zones import DEFAULT
from cloud.orders import archive, operator_actions, outbox
from cloud.orders.money import PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import Lease
from cloud.orders.owed_tasks import settle_money
from cloud.orders.states import Status
from cloud.orders.tasks import Lane
from protocol.reasons import Result
from tests.cloud.database.test_indexes import listening
from tests.cloud.orders.test_operator_actions import poured, silent
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, World

NORTH = Scope(frozenset({"north"}))
ANYTHING = Query()


def ids(world: World, chip: Chip = Chip.ALL, scope: Scope = NORTH, query: Query = ANYTHING, machine: str = "",
        after: str = "") -> Sequence[str]:  # fmt: skip
    with world.database.read() as session:
        key = Key.read(after) if after else None
        return [row.id for row in listed(session, scope, Filters(chip, query, machine), key, world.now).items]


def one_of_each(world: World) -> dict[str, str]:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    made = {"waits": silent(world)}
    for status in (Status.FAILED, *(status for status in Status if status is not Status.FAILED)):
        world.clock.advance(1)
        made[status.value] = world.bring_to(status)
    made["given"] = poured(world)
    world.database.transact(operator_actions.give_back, made["given"], None, "a", "b", world.now)
    world.refunded(world.payment(made["given"]).id)
    return made


def test_each_chip_shows_what_it_says(world: World) -> None:
    made = one_of_each(world)
    shown = {chip: {name for name, order in made.items() if order in ids(world, chip)} for chip in Chip}
    assert shown[Chip.ALL] == set(made)
    assert shown[Chip.PAID] == {"waits", "paid", "make_pending", "manual_make", "successful", "make_failed", "given"}
    assert shown[Chip.NOW] == {"pending", "paid", "make_pending", "manual_make"}
    assert shown[Chip.FAILED] == {"waits", "make_failed"}
    assert shown[Chip.WAITS] == {"waits", "manual_make"}
    assert shown[Chip.GIVEN] == {"given"}


def test_nothing_is_shown_beyond_the_scope(world: World) -> None:
    one_of_each(world)
    mine = Scope(machines=frozenset({("north", OTHER_DEVICE)}))
    moved_away = Scope(machines=mine.machines | {("south", DEVICE)})  # `south` has given that machine to `north`
    other = world.scan(device=OTHER_DEVICE)
    for chip in Chip:
        assert ids(world, chip, NOTHING) == ids(world, chip, Scope(frozenset({"south"}))) == [], chip
        assert ids(world, chip, mine) == ([other] if chip is Chip.ALL else []), chip
        assert ids(world, chip, moved_away) == ids(world, chip, mine), chip
    with world.database.read() as session:
        assert named(session, mine, other) == [other]
        assert named(session, NOTHING, other) == []


def test_few_are_counted_within_the_scope(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_FEW", 2)
    for chip, status in ((Chip.NOW, Status.PENDING), (Chip.WAITS, Status.MANUAL_MAKE)):
        for _ in range(rows.MOST_FEW):
            world.bring_to(status)
        mine = world.scan(device=OTHER_DEVICE)
        payment = world.start(mine)
        if status is Status.MANUAL_MAKE:
            world.clock.advance(world.rules.fast_track_s + 1)
            world.tell(payment, PaymentState.HELD)
        assert ids(world, chip, Scope(machines=frozenset({("north", OTHER_DEVICE)}))) == [mine]


def test_pages_follow_each_other_without_a_gap_though_moments_are_the_same(world: World) -> None:
    made = [world.bring_to(Status.PENDING) for _ in range(PAGE + 10)]
    for chip in (Chip.ALL, Chip.NOW):
        with world.database.read() as session:
            first = listed(session, EVERYTHING, Filters(chip), None, world.now)
            second = listed(session, EVERYTHING, Filters(chip), Key.read(first.next), world.now)
        assert [row.id for row in (*first.items, *second.items)] == sorted(made, reverse=True), chip
        assert second.next == ""


def test_what_is_typed_narrows_the_list(world: World) -> None:
    early = world.pay()
    world.clock.advance(3 * 3600)
    late = world.pay()
    at = parse("12:00", world.now, [DEFAULT])
    assert ids(world, query=at) == [early]
    assert ids(world, query=replace(at, kopecks=17900)) == [early]
    assert ids(world, query=replace(at, kopecks=100)) == []
    assert ids(world, query=parse("179", world.now, [DEFAULT])) == [late, early]
    assert ids(world, Chip.NOW, query=at) == [early]
    assert ids(world, machine=OTHER_DEVICE) == []


def test_a_number_a_payment_and_their_beginnings_name_an_order(world: World) -> None:
    order_id = world.pay("20261123044945471c8a70-9ace-cndn")
    payment = world.payment(order_id)
    with world.database.read() as session:
        for name in (order_id, payment.id, str(payment.provider_payment_id), "20261123044945"):
            assert named(session, NORTH, name) == [order_id]
        assert named(session, NORTH, "20261124") == []


def test_a_short_number_of_digits_names_the_order_that_has_it(world: World) -> None:
    """Regression: it was an amount and an end, and found nothing of an order older than three days."""
    for order_id in ("1042", "0043", "10420"):
        world.publish(world.pay(order_id))
        world.report(order_id, Result.DONE)
    world.database.transact(archive.put_away, ["0043"], world.now)
    with world.database.read() as session:
        for order_id in ("1042", "0043"):
            asked = parse(order_id, world.now, [DEFAULT]).number
            assert numbered(session, NORTH, asked) == [order_id]
            assert numbered(session, NOTHING, asked) == []
        assert numbered(session, NORTH, "104") == []


def test_no_page_reads_every_order_there_ever_was(world: World) -> None:
    one_of_each(world)
    world.report(poured(world), Result.DONE)
    with listening(world.database) as plans, world.database.read() as session:
        for chip in Chip:
            listed(session, NORTH, Filters(chip), None, world.now)
        named(session, NORTH, "2026")
    assert len(plans.asked) > len(Chip)
    assert plans.whole_tables == []
    with listening(world.database) as plans, world.database.read() as session:
        for chip in (Chip.NOW, Chip.WAITS):
            listed(session, NORTH, Filters(chip), None, world.now)
    assert "ix_orders_merchant" not in plans.text  # nor every order the merchant ever had


@pytest.mark.both_databases
def test_returned_is_said_only_of_what_is_back(world: World) -> None:
    """Regression: it was from the decision on, and for ever of a return that the provider refused."""
    by_page, let_go = poured(world), world.bring_to(Status.SUCCESSFUL)
    assert set(badges(world).values()) == {(False, False)}
    world.database.transact(operator_actions.give_back, by_page, 2000, "op@example.org", "sour", world.now)
    assert badges(world) == {by_page: (False, True), let_go: (False, False)}
    world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Lease("till", 60))
    world.in_docket(by_page, settle_money, world.now)
    assert badges(world)[by_page] == (False, True), "nobody knows yet whether it is back"
    world.refunded(world.payment(by_page).id, amount=2000)
    world.tell(world.payment(let_go).id, PaymentState.CANCELED)
    assert badges(world) == {by_page: (True, False), let_go: (True, False)}


@pytest.mark.both_databases
def test_money_of_a_second_payment_is_no_return_of_the_drinks(world: World) -> None:
    """Regression: a second payment that had gone back by itself made "returned" of a return nobody had answered."""
    order_id = world.scan()
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CANCELED)
    own = world.start(order_id, ONE_STAGE)
    world.tell(own, PaymentState.CAPTURED)
    world.clock.advance(60)
    world.tell(second, PaymentState.CAPTURED)
    world.refunded(second)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.database.transact(operator_actions.give_back, order_id, None, "op@example.org", "sour", world.now)
    world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Lease("till", 60))
    world.in_docket(order_id, settle_money, world.now)
    assert world.order(order_id).goodwill
    assert badges(world) == {order_id: (False, True)}
    world.refunded(own, "rf-2")
    assert badges(world) == {order_id: (True, False)}


def badges(world: World) -> dict[str, tuple[bool, bool]]:
    with world.database.read() as session:
        found = listed(session, NORTH, Filters(Chip.ALL), None, world.now).items
        return {row.id: (row.is_returned, row.is_to_be_returned) for row in found}
