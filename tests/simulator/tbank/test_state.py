"""One payment's steps: what each leads to, and what its status or sums do not allow. Money is never made or lost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.tbank.state import (
    Payment,
    Refused,
    Status,
    ask_refund,
    authorize,
    cancel,
    confirm,
    decline,
    end_refund,
    run_out,
    show,
)
from tests.simulator.tbank.conftest import START

LATER = START + timedelta(days=7)
NEW = Payment(
    id="700", page="page", terminal="t", order_id="o", amount=15000, two_stage=True, description="", success_url="",
    fail_url="", notification_url="", opened_at=START, due_at=LATER,
)  # fmt: skip
HELD = authorize(NEW, "card", LATER)
TAKEN = confirm(HELD, None)


def test_the_whole_way_of_a_poured_coffee() -> None:
    assert show(NEW).status is Status.FORM_SHOWED
    assert (HELD.status, HELD.held, HELD.standing) == (Status.AUTHORIZED, 15000, 15000)
    assert (TAKEN.status, TAKEN.held, TAKEN.confirmed) == (Status.CONFIRMED, 0, 15000)
    refunding = ask_refund(TAKEN, 5000, LATER, Status.REFUNDING)
    assert (refunding.refunding, refunding.standing) == (5000, 15000)
    back = end_refund(refunding, works=True)
    assert (back.status, back.refunded, back.standing) == (Status.PARTIAL_REFUNDED, 5000, 10000)
    assert end_refund(ask_refund(back, 10000, LATER, Status.REFUNDING), works=True).status is Status.REFUNDED


def test_a_refund_that_fails_leaves_the_money_where_it_was() -> None:
    failed = end_refund(ask_refund(TAKEN, None, LATER, Status.ASYNC_REFUNDING), works=False)
    assert (failed.status, failed.refunded, failed.refunding) == (Status.CONFIRMED, 0, 0)


def test_time_ends_what_nobody_pays_and_lets_go_what_nobody_takes() -> None:
    assert run_out(NEW).status is Status.DEADLINE_EXPIRED
    assert run_out(HELD).status is Status.REVERSED
    assert run_out(TAKEN) is TAKEN


def test_declines_end_a_payment_after_its_tries() -> None:
    once = decline(NEW, "card", "1051", attempts=2)
    assert (once.status, once.error) == (Status.FORM_SHOWED, "0")
    twice = decline(once, "card", "1051", attempts=2)
    assert (twice.status, twice.error) == (Status.REJECTED, "1051")


def test_sbp_cannot_hold() -> None:
    with pytest.raises(Refused):
        authorize(NEW, "sbp", LATER)
    assert authorize(replace(NEW, two_stage=False), "sbp", LATER).held == 15000


@pytest.mark.parametrize("status", Status)
def test_every_status_allows_what_it_should(status: Status) -> None:
    payment = replace(NEW, status=status, held=15000, confirmed=15000, refunding=5000)
    allowed = set()
    acts: dict[str, Callable[[], Payment]] = {
        "pay": lambda: authorize(payment, "card", LATER),
        "confirm": lambda: confirm(payment, None),
        "cancel": lambda: cancel(payment, None),
        "refund": lambda: ask_refund(payment, 5000, LATER, Status.REFUNDING),
        "end": lambda: end_refund(payment, works=True),
    }
    for name, act in acts.items():
        try:
            act()
        except Refused:
            continue
        allowed.add(name)
    assert allowed == {
        Status.NEW: {"pay", "cancel"},
        Status.FORM_SHOWED: {"pay", "cancel"},
        Status.AUTHORIZED: {"confirm", "cancel"},
        Status.PARTIAL_REVERSED: {"confirm", "cancel"},
        Status.CONFIRMED: {"refund"},
        Status.PARTIAL_REFUNDED: {"refund"},
        Status.REFUNDING: {"end"},
        Status.ASYNC_REFUNDING: {"end"},
    }.get(status, set())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["show", "pay", "decline", "confirm", "cancel", "refund", "done", "failed", "late"]),
        st.one_of(st.none(), st.integers(-1, 20000)),
    ),
    max_size=30,
)


@given(STEPS)
def test_no_order_of_steps_makes_or_loses_money(steps: list[tuple[str, int | None]]) -> None:
    payment = NEW
    for name, amount in steps:
        try:
            payment = _step(payment, name, amount)
        except Refused:
            continue
        came = payment.held + payment.confirmed + payment.reversed
        assert came in {0, payment.amount}
        assert 0 <= payment.refunded + payment.refunding <= payment.confirmed
        assert payment.standing >= 0


def _step(payment: Payment, name: str, amount: int | None) -> Payment:
    match name:
        case "show":
            return show(payment)
        case "pay":
            return authorize(payment, "card", LATER)
        case "decline":
            return decline(payment, "card", "99", 2)
        case "confirm":
            return confirm(payment, amount)
        case "cancel":
            return cancel(payment, amount)
        case "refund":
            return ask_refund(payment, amount, LATER, Status.REFUNDING)
        case "late":
            return run_out(payment)
    return end_refund(payment, works=name == "done")
