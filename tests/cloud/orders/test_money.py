"""What is owed, as properties: never more back than came in, never both kept and returned, odd kopecks go back."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.orders.money import Due, PaymentSnapshot, PaymentState, ReturnPolicy, moves_forward, owed, paying_payment
from cloud.orders.owed_tasks import pause_after
from cloud.orders.states import Status
from cloud.orders.tasks import RETURNS, Task

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPEN = {Status.PENDING, Status.PAID, Status.MAKE_PENDING, Status.MANUAL_MAKE}


@st.composite
def payments(draw: st.DrawFn) -> list[PaymentSnapshot]:
    """Up to four payments of one order in any state books can be in."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        state = draw(st.sampled_from(PaymentState))
        amount = draw(st.integers(1, 50_000))
        captured = draw(st.integers(1, 50_000)) if state is PaymentState.CAPTURED else 0
        has_paid = state in {PaymentState.HELD, PaymentState.CAPTURED}
        seconds = draw(st.integers(0, 3))
        made.append(
            PaymentSnapshot(
                id=f"p{number}",
                state=state,
                amount=amount,
                captured=captured,
                refunded=draw(st.integers(0, captured)),
                problem=draw(st.sampled_from(["", "", "amount", "metadata.order_id"])),
                paid_at=T0 + timedelta(seconds=seconds) if has_paid else None,
            )
        )
    return made


statuses = st.sampled_from(Status)
graces = st.sampled_from([None, T0 + timedelta(seconds=300)])


def of(dues: list[Due], payment: PaymentSnapshot) -> list[Due]:
    return [due for due in dues if due.payment_id == payment.id]


@given(statuses, graces, payments())
def test_never_more_goes_back_than_is_there(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    dues = owed(status, paid, ReturnPolicy(grace))
    for payment in paid:
        refunds = [due.amount for due in of(dues, payment) if due.task is Task.REFUND]
        assert sum(refunds) <= payment.captured - payment.refunded
        assert all(amount > 0 for amount in refunds)


@given(statuses, graces, payments())
def test_a_payment_waits_for_one_act_at_most(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    dues = owed(status, paid, ReturnPolicy(grace))
    assert len({due.payment_id for due in dues}) == len(dues)


@given(statuses, graces, payments())
def test_a_hold_is_never_refunded_and_taken_money_never_canceled(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    states = {payment.id: payment.state for payment in paid}
    for due in owed(status, paid, ReturnPolicy(grace)):
        is_hold = states[due.payment_id] is PaymentState.HELD
        assert (due.task is Task.REFUND) is not is_hold


@given(statuses, graces, payments())
def test_money_that_does_not_fit_is_never_kept(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    dues = owed(status, paid, ReturnPolicy(grace))
    for payment in paid:
        if payment.problem and (payment.state is PaymentState.HELD or payment.captured > payment.refunded):
            [due] = of(dues, payment)
            assert due.task in RETURNS
            assert due.not_before is None, "there is no evidence to wait for"


@given(statuses, graces, payments())
def test_an_order_is_paid_once_and_every_other_payment_goes_back(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    pays = paying_payment(paid)
    for payment in paid:
        has_money = payment.state is PaymentState.HELD or payment.captured > payment.refunded
        if payment is not pays and has_money:
            assert [due.task in RETURNS for due in of(owed(status, paid, ReturnPolicy(grace)), payment)] == [True]


@given(graces, payments())
def test_a_poured_order_keeps_its_payment(grace: datetime | None, paid: list[PaymentSnapshot]) -> None:
    pays = paying_payment(paid)
    dues = of(owed(Status.SUCCESSFUL, paid, ReturnPolicy(grace)), pays) if pays else []
    assert all(due.task is Task.CAPTURE and due.amount == pays.amount for due in dues if pays)
    assert bool(dues) is (pays is not None and pays.state is PaymentState.HELD)


@given(statuses, graces, payments())
def test_nothing_is_decided_about_the_paying_money_while_the_drink_may_come(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    pays = paying_payment(paid)
    if pays is not None and status in OPEN:
        assert not of(owed(status, paid, ReturnPolicy(grace)), pays)


@given(statuses, graces, payments())
def test_an_order_that_ended_without_a_drink_keeps_no_kopeck(
    status: Status, grace: datetime | None, paid: list[PaymentSnapshot]
) -> None:
    if status in OPEN or status is Status.SUCCESSFUL:
        return
    dues = owed(status, paid, ReturnPolicy(grace))
    for payment in paid:
        if payment.state is PaymentState.HELD or payment.captured > payment.refunded:
            assert [due.task in RETURNS for due in of(dues, payment)] == [True]


@given(payments())
def test_the_grace_is_for_the_paying_money_only(paid: list[PaymentSnapshot]) -> None:
    grace = T0 + timedelta(seconds=300)
    pays = paying_payment(paid)
    for due in owed(Status.MAKE_FAILED, paid, ReturnPolicy(grace)):
        assert due.not_before == (grace if pays and due.payment_id == pays.id else None)


def test_the_first_money_that_fits_pays() -> None:
    wrong = PaymentSnapshot("p0", PaymentState.CAPTURED, 100, 90, 0, "amount", T0)
    later = PaymentSnapshot("p1", PaymentState.CAPTURED, 100, 100, 0, "", T0 + timedelta(seconds=2))
    first = PaymentSnapshot("p2", PaymentState.CAPTURED, 100, 100, 0, "", T0 + timedelta(seconds=1))
    assert paying_payment([wrong, later, first]) is first
    assert {due.payment_id: due.amount for due in owed(Status.SUCCESSFUL, [wrong, later, first])} == {
        "p0": 90,
        "p1": 100,
    }


@given(st.sampled_from(PaymentState), st.sampled_from(PaymentState))
def test_a_payment_never_goes_back_and_forth(before: PaymentState, after: PaymentState) -> None:
    there_and_back = moves_forward(before, after) and moves_forward(after, before, had_money=True)
    assert not (there_and_back and moves_forward(before, after, had_money=True))


def test_taken_or_given_back_is_the_end_of_a_payment() -> None:
    assert not [after for after in PaymentState if moves_forward(PaymentState.CAPTURED, after, had_money=True)]
    given_back = [after for after in PaymentState if moves_forward(PaymentState.CANCELED, after, had_money=True)]
    assert given_back == [PaymentState.CAPTURED], "a hold let go is not held again; money taken is always news"


def test_money_on_a_payment_told_to_be_canceled_still_counts() -> None:
    assert moves_forward(PaymentState.CANCELED, PaymentState.HELD)
    assert moves_forward(PaymentState.CANCELED, PaymentState.CAPTURED)


def test_money_on_a_payment_thought_refused_still_counts() -> None:
    assert moves_forward(PaymentState.REFUSED, PaymentState.HELD)
    assert moves_forward(PaymentState.REFUSED, PaymentState.CAPTURED)
    assert not moves_forward(PaymentState.PENDING, PaymentState.REFUSED)


def test_who_is_refused_for_months_is_asked_for_each_hour() -> None:
    """Regression: the 1025th pause outgrew a number, and the return could never be made again."""
    assert [pause_after(refusals) for refusals in (0, 1, 2, 3, 7, 1100)] == [0, 60, 120, 240, 3600, 3600]
