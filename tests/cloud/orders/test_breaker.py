"""What closes after a paid drink has failed: the pure rule, and that nobody ever pays for a third failure."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing as closed
from itertools import chain
from random import Random

import pytest
from sqlalchemy import select

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.models import Closable, Device, DeviceLive, Drink
from cloud.orders import making
from cloud.orders.breaker import Closing, Ended, what_closes
from cloud.orders.locked_order import order_key
from cloud.orders.money import PaymentState
from cloud.orders.scanning import NotForSale
from cloud.orders.states import Status
from protocol.messages import Evidence, Outcome
from protocol.reasons import Result, Spout
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, World
from tests.waiting import wait_until

pytestmark = pytest.mark.any_database

BREWER, NO_MILK, BUSY = "failed:brewer", "rejected:no_milk", "rejected:busy"


def of(*ends: str) -> list[Ended]:
    """Newest first, each `drink reason`; no reason: poured."""
    return [Ended(*end.split(" ")) for end in ends]


@pytest.mark.parametrize(
    ("ends", "closes"),
    [
        ([], None),
        ([f"latte {BREWER}"], None),
        (["latte", f"latte {BREWER}", f"latte {BREWER}"], None),
        ([f"latte {BREWER}", f"latte {BREWER}"], ""),
        ([f"latte {BREWER}", f"mocha {NO_MILK}"], ""),
        ([f"latte {NO_MILK}", f"latte {NO_MILK}"], "latte"),
        ([f"latte {BREWER}", "mocha", f"latte {BREWER}"], "latte"),
        ([f"latte {BREWER}", "latte", f"latte {BREWER}"], None),
        (["latte no_ack", "latte no_outcome"], ""),
        (["latte unknown", f"latte {BUSY}", "mocha unknown"], ""),
        ([f"latte {BUSY}", f"latte {BREWER}", f"latte {BREWER}"], None),
        ([f"latte {BUSY}", f"latte {BUSY}"], None),
        (["latte not_sent", "latte not_sent"], None),
        (["latte returned", "latte closed"], None),
        (["latte unknown:unobservable", "latte unknown:unobservable"], None),
    ],
)
def test_what_closes(ends: list[str], closes: str | None) -> None:
    found = what_closes(of(*ends))
    assert (found and found.drink_no) == closes


def test_what_the_machine_itself_says_is_over_when_it_says_so() -> None:
    ends = of("latte rejected:no_water", "latte rejected:no_water")
    assert what_closes(ends, {"no_water"}) is None
    assert what_closes(ends) == Closing("", "rejected:no_water, rejected:no_water")


@pytest.fixture
def world(world: World) -> World:
    world.opens_again = False
    return world


@pytest.fixture
def sqlite_world(sqlite_world: World) -> World:
    sqlite_world.opens_again = False
    return sqlite_world


def thing(world: World, drink_no: str = "") -> Closable:
    with world.database.read() as session:
        return session.get_one(Drink, (DEVICE, drink_no)) if drink_no else session.get_one(Device, DEVICE)


def fail(world: World, order_id: str, code: str = "brewer") -> None:
    world.publish(order_id)
    world.report(order_id, Result.FAILED, code)


@pytest.mark.both_databases
def test_two_running_close_the_machine_and_a_person_opens_it(world: World) -> None:
    fail(world, world.pay())
    assert thing(world).closed_since is None
    paying = world.start(late := world.scan())
    poured = world.pay()
    fail(world, world.pay())

    assert (thing(world).closed_by, thing(world).closed_why) == ("breaker", f"{BREWER}, {BREWER}")
    with pytest.raises(NotForSale):
        world.scan()
    world.tell(paying, PaymentState.HELD)
    assert (world.status(late), world.order(late).reason) == (Status.MAKE_FAILED, "closed")
    world.publish(poured)
    world.report(poured, Result.DONE)
    assert world.status(poured) == Status.SUCCESSFUL  # what was paid before is poured

    world.clock.advance(60)
    assert world.database.transact(closing.open_again, DEVICE, "", "anna", world.now)
    world.clock.advance(1)
    fail(world, world.pay())
    assert thing(world).closed_since is None  # what failed before counts no more


def test_paid_after_the_closing_returns(world: World) -> None:
    late = world.scan()
    payment = world.start(late)
    world.tell(payment, PaymentState.PENDING)
    world.database.transact(closing.close, DEVICE, "latte", "anna", "no lids", world.now)
    world.tell(payment, PaymentState.HELD)

    assert (world.status(late), world.order(late).reason) == (Status.MAKE_FAILED, "closed")
    assert thing(world).closed_since is None  # a closing is no failure of the machine's


def test_a_fault_that_stands_closes_by_itself(world: World) -> None:
    def stands(tx: Transaction) -> None:
        live = tx.session.get_one(DeviceLive, DEVICE)
        live.state = {"faults": [{"code": "no_water", "level": "block"}]}

    world.database.transact(stands)
    for _ in range(3):
        fail(world, world.pay(), "no_water")
    assert thing(world).closed_since is None


def test_a_test_device_never_closes(world: World) -> None:
    def test_it(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).status = "test"

    world.database.transact(test_it)
    for _ in range(3):
        fail(world, world.pay())
    assert thing(world).closed_since is None


def say_failed(tx: Transaction, world: World, order_id: str, device: str = DEVICE) -> None:
    said = Outcome(
        message_id=order_id, command_id=making.derived_command_id(order_id, 1), order_id=order_id, result=Result.FAILED,
        code="brewer", out=Spout.UNKNOWN, revision=1, at=world.now, evidence=Evidence(rule="said so"),
    )  # fmt: skip
    making.record_outcome(tx, device, said, world.rules, world.now)


@pytest.mark.both_databases
def test_two_that_fail_in_one_commit_close_the_machine(world: World) -> None:
    orders = [world.pay(), world.pay()]

    def both(tx: Transaction) -> None:
        for order_id in orders:
            say_failed(tx, world, order_id)

    world.database.transact(both)
    assert thing(world).closed_by == "breaker"


@pytest.mark.both_databases
def test_of_two_that_fail_at_once_the_second_sees_the_first(world: World) -> None:
    one, other = world.pay(), world.pay()

    def first(tx: Transaction) -> None:
        say_failed(tx, world, one)
        second = thread.submit(world.database.transact, say_failed, world, other)
        if not world.database.is_sqlite:  # there the second has not even begun
            wait_until(lambda: second.done() or world.somebody_waits())

    with ThreadPoolExecutor(1) as thread:
        world.database.transact(first)
    assert thing(world).closed_by == "breaker"


def test_two_groups_that_fail_orders_of_the_same_machines_do_not_wait_for_each_other(
    migrated_postgres_url: str,
) -> None:
    """Regression: each held the machine of its first order and waited for that of its second."""
    with closed(Database(migrated_postgres_url, patience_s=0)) as database:
        world = World(database).found()
        groups = [[("a1", DEVICE), ("a4", OTHER_DEVICE)], [("a2", OTHER_DEVICE), ("a3", DEVICE)]]
        for order_id, device in chain.from_iterable(groups):
            world.tell(world.start(world.scan(order_id, device)), PaymentState.HELD)
        both, done = threading.Barrier(2), list[int]()

        def wait_for_the_other(_tx: Transaction, number: int) -> None:
            done.append(number)
            if done.count(number) == 1:
                both.wait(30)

        def end(number: int) -> None:
            first, second = groups[number]
            with closed(Database(migrated_postgres_url, patience_s=3600)) as own:
                ends = [
                    own.transact(say_failed, world, *first, key=order_key(first[0]), deferred=True),
                    own.transact(wait_for_the_other, number, key=order_key(f"{first[0]}~"), deferred=True),
                    own.transact(say_failed, world, *second, key=order_key(second[0]), deferred=True),
                ]
            assert [one.exception(0) for one in ends] == [None] * 3

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(end, range(2)))
        assert sorted(done) == [0, 1], "nothing had to be done again"
        with database.read() as session:
            assert {device.closed_by for device in session.scalars(select(Device))} == {"breaker"}


@pytest.mark.parametrize("seed", range(20))
def test_nobody_pays_for_a_third_failure(sqlite_world: World, seed: int) -> None:
    """Buyers scan, pay at once or late, several beside each other; whatever order ends how, after two it is closed."""
    world, random = sqlite_world, Random(seed)
    open_orders: list[str] = []
    failed_running = paid_after_closing = 0
    for _ in range(60):
        world.clock.advance(random.uniform(1, 20))
        if random.random() < 0.5:
            try:
                order_id = world.pay()
            except NotForSale:
                assert thing(world).closed_since is not None
            else:
                paid_after_closing += thing(world).closed_since is not None
                open_orders.append(order_id)
        elif open_orders:
            order_id = open_orders.pop(random.randrange(len(open_orders)))
            was_closed = thing(world).closed_since is not None
            if random.random() < 0.7:
                fail(world, order_id)
                failed_running += 1
            else:
                world.publish(order_id)
                world.report(order_id, Result.DONE)
                failed_running = 0
            assert was_closed or failed_running <= 2
            assert failed_running < 2 or thing(world).closed_since is not None
    assert paid_after_closing == 0


def test_the_other_machine_is_another(world: World) -> None:
    for device in (DEVICE, OTHER_DEVICE):
        order_id = world.scan(device=device)
        payment = world.start(order_id)
        world.tell(payment, PaymentState.HELD)
        world.publish(order_id)
        world.report(order_id, Result.FAILED, "brewer", device=device)
    assert thing(world).closed_since is None
