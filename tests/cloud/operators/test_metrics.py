"""`/metrics`: true figures in Prometheus' format, for this machine or whoever has the token, and for nobody else."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from cloud.background import heartbeat
from cloud.database.transaction import Transaction
from cloud.fleet import machine_events
from cloud.fleet.models import DeviceLive
from cloud.metrics.exposition import Gauge, exposition
from cloud.operators.metrics import KEPT_S
from cloud.orders.at_risk import Next
from cloud.orders.order_counts import count_on
from cloud.orders.states import Status
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.nightly import _write_down
from cloud.processes.app import create_app
from protocol.messages import Event
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.reconciling import a_nightly, at, change_payment, reconciled, sold
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, PRICE, World

TOKEN = "a-token-of-our-own"
SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*)\})? (-?[0-9.e+]+)')


def figures(till: Till) -> dict[str, float]:
    """Each sample by its name and labels; the clock is moved past what is kept."""
    till.world.clock.advance(KEPT_S)
    answer = till.client().get("/metrics")
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    matches = [SAMPLE.fullmatch(line) for line in lines]
    assert all(matches), lines
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_it_is_prometheus_text(sqlite_till: Till) -> None:
    answer = sqlite_till.client().get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    names = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 8
    kinds = {line.split()[3] for line in answer.text.splitlines() if line.startswith("# TYPE")}
    assert kinds == {"gauge", "counter", "histogram"}


def test_labels_are_escaped() -> None:
    gauge = Gauge("g", "two\nlines \\")
    gauge.add(1.5, name='a"b\\c\nd')
    gauge.add(2)
    assert exposition([gauge]) == '# HELP g two\\nlines \\\\\n# TYPE g gauge\ng{name="a\\"b\\\\c\\nd"} 1.5\ng 2\n'


def test_money_at_risk_is_there_by_action_also_when_there_is_none(till: Till) -> None:
    before = figures(till)
    assert all(before[f'coffee_money_at_risk_kopecks{{action="{action.value}"}}'] == 0 for action in Next)
    till.world.pay(account=ONE_STAGE)
    till.world.clock.advance(10)
    after = figures(till)
    assert after['coffee_money_at_risk_kopecks{action="pouring"}'] == PRICE
    assert after['coffee_money_at_risk_payments{action="pouring"}'] == 1
    assert after['coffee_money_at_risk_oldest_seconds{action="pouring"}'] == 10 + KEPT_S


def test_events_of_machines_are_counted_by_what_happened_for_an_hour(till: Till) -> None:
    for number, what in enumerate(("line_down", "line_down", "of a newer agent")):
        event = Event(message_id=f"j-{number}", at=till.world.now, what=what.replace(" ", "_"))
        till.world.database.transact(machine_events.keep, DEVICE, event, till.world.now)
    found = figures(till)
    assert found['coffee_machine_events{what="line_down"}'] == 2
    assert found['coffee_machine_events{what="line_up"}'] == 0
    assert found['coffee_machine_events{what="other"}'] == 1
    till.world.clock.advance(3600)
    assert figures(till)['coffee_machine_events{what="line_down"}'] == 0


def test_orders_outbox_workers_and_devices_are_counted(till: Till) -> None:
    world = till.world
    world.bring_to(Status.SUCCESSFUL)
    world.bring_to(Status.MAKE_FAILED)
    world.clock.advance(7)
    world.database.transact(heartbeat.beat, "w1", True, world.now)
    world.database.transact(heartbeat.beat, "w2", False, world.now)
    assert not world.database.transact(count_on)
    told = figures(till)
    assert told['coffee_orders{status="successful"}'] == 1
    assert told['coffee_orders{status="make_failed"}'] == 1
    assert told['coffee_orders{status="paid"}'] == 0
    assert told['coffee_outbox_unsettled{lane="provider"}'] == 2
    assert told['coffee_outbox_oldest_seconds{lane="provider"}'] == 7 + KEPT_S
    assert (told["coffee_workers_alive"], told["coffee_workers_at_broker"]) == (3, 2), "and one that is always there"
    assert told['coffee_devices{status="active",online="true"}'] == 2


def test_a_machine_that_never_came_is_not_one_that_went(sqlite_till: Till) -> None:
    """Regression: a fleet that was not enrolled yet paged as if all of it had gone."""
    gauge = 'coffee_devices{{status="active",online="{}"}}'
    assert figures(sqlite_till)[gauge.format("false")] == 0, "there to be compared with"

    def stand(tx: Transaction) -> None:
        tx.session.get_one(DeviceLive, DEVICE).online = False
        other = tx.session.get_one(DeviceLive, OTHER_DEVICE)
        other.online, other.seen_at = False, sqlite_till.world.now

    sqlite_till.world.database.transact(stand)
    told = figures(sqlite_till)
    assert [told[gauge.format(how)] for how in ("true", "false", "never")] == [0, 1, 1]


def test_workers_that_hear_the_machines_are_counted_apart(sqlite_till: Till) -> None:
    """Regression: while none did, nothing was sold and no figure told of it."""
    world = sqlite_till.world
    world.database.transact(heartbeat.beat, "deaf", True, world.now, hears_devices=False)
    world.database.transact(heartbeat.beat, "away", False, world.now)
    told = figures(sqlite_till)
    found = [told[f"coffee_workers_{what}"] for what in ("alive", "at_broker", "hearing")]
    assert found == [3, 2, 1], "and one that is always there"


def test_a_return_nobody_may_begin_yet_is_not_overdue(till: Till) -> None:
    world = till.world
    order_id = world.pay()
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    world.clock.advance(world.rules.uncertain_grace_s + 60)  # and nobody has judged it
    assert not world.database.transact(count_on)
    told = figures(till)
    assert told['coffee_outbox_unsettled{lane="provider"}'] == 1
    assert told['coffee_outbox_oldest_seconds{lane="provider"}'] == 0
    world.bring_to(Status.MAKE_FAILED)  # for certain: this one's return is overdue, whoever else waits
    world.clock.advance(7)
    assert figures(till)['coffee_outbox_oldest_seconds{lane="provider"}'] == 7 + KEPT_S


def test_what_reconciliation_found_is_there_until_it_is_explained(till: Till) -> None:
    order_id = sold(till)
    change_payment(till, order_id, captured=1)
    reconciled(till)
    told = figures(till)
    assert told['coffee_reconciliation_findings{kind="amount_differs",state="open"}'] == 1
    assert told["coffee_reconciliation_unexplained"] == 1
    change_payment(till, order_id, captured=PRICE)
    reconciled(till)
    assert figures(till)["coffee_reconciliation_unexplained"] == 0


@pytest.mark.parametrize("fault", [FaultKind.ERROR_500, FaultKind.TOO_MANY_REQUESTS])
def test_what_is_tried_in_vain_grows_old(sqlite_till: Till, fault: FaultKind) -> None:
    """Each try made it due anew: a capture that had failed for six days looked as if it had just become due."""
    till = sqlite_till
    order_id = till.paid()
    till.world.publish(order_id)
    till.fault(fault, Endpoint.CAPTURE, times=None)
    till.world.report(order_id, Result.DONE)
    poured_at = till.world.now
    till.work()
    for _ in range(20):
        till.work(360)
    told, seconds = figures(till), (till.world.now - poured_at).total_seconds()
    assert told['coffee_outbox_oldest_seconds{lane="provider"}'] == seconds
    assert told['coffee_money_at_risk_oldest_seconds{action="capture_due"}'] == seconds


def test_a_day_that_nobody_looks_at_is_unfinished(sqlite_till: Till) -> None:
    """Where nights failed before they wrote a day down, all looked well for ever."""
    till, name = sqlite_till, "coffee_reconciliation_unfinished"
    till.world.clock.now = at(12)
    sold(till)
    till.world.clock.now = at(27, 1)
    till.world.database.transact(_write_down, Day.of(at(12)).date, till.world.now)
    assert figures(till)[name] == 1, "written down, and never looked at"
    nightly = a_nightly(till)
    while nightly.step(till.world.now) == till.world.now:
        pass
    assert figures(till)[name] == 0
    till.world.clock.advance(2 * 86400)
    assert figures(till)[name] == 2, "and two that nobody has written down"


def test_it_is_read_from_the_database_every_few_seconds_only(sqlite_till: Till) -> None:
    first = sqlite_till.client().get("/metrics").text
    sqlite_till.world.pay()
    assert sqlite_till.client().get("/metrics").text == first
    sqlite_till.world.clock.advance(KEPT_S)
    assert sqlite_till.client().get("/metrics").text != first


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.7", "::ffff:203.0.113.9", ""])
def test_other_machines_do_not_see_it(sqlite_till: Till, address: str) -> None:
    answer = sqlite_till.client().get("/metrics", environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["error"]["code"] == "forbidden"
    assert "coffee_" not in answer.text


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_sees_it(sqlite_till: Till, address: str) -> None:
    assert sqlite_till.client().get("/metrics", environ_base={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_make_it_public(sqlite_till: Till, header: str) -> None:
    assert sqlite_till.client().get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


@pytest.fixture
def guarded(sqlite_world: World) -> Iterator[FlaskClient]:
    with a_till(sqlite_world) as till:
        yield create_app(till.a_cloud("guarded", metrics_token=TOKEN)).test_client()


def test_with_a_token_it_opens_to_whoever_has_it_from_anywhere(guarded: FlaskClient) -> None:
    shown = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.9"}
    assert guarded.get("/metrics", headers=shown, environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize("given", ["", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer ", "Bearer жжж"])
def test_with_a_token_nobody_without_it_gets_in(guarded: FlaskClient, given: str) -> None:
    headers = {"Authorization": given} if given else {}
    assert guarded.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 403
