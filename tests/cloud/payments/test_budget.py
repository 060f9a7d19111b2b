"""Who may call a shop now: priorities, slots and what is slow, without a clock, a thread or a provider."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.background.loops import ThreadPool
from cloud.payments.admission import Admission, Gate, Launcher, Permit, Store, Waiting, Work
from cloud.payments.budget import (
    BUSY,
    CIRCUIT,
    GROWN_OLD_S,
    MOST_SLOTS,
    RATE,
    SHOP_SLOTS,
    SLOW,
    SLOW_S,
    HeldBack,
    Priority,
    ShopBudget,
    Ticket,
)
from cloud.payments.rate import CircuitBreaker, TokenBucket
from tests.cloud.worlds import START

URGENT = [Priority.NOTIFICATION, Priority.CREATE, Priority.CAPTURE, Priority.RETURN]


def served(budget: ShopBudget, priority: Priority, now: float, waited_s: float = 0.0) -> bool:
    """One piece of work of one call, over at once; whether it might begin."""
    ticket = budget.admit(priority, now, waited_s)
    if isinstance(ticket, HeldBack):
        return False
    assert budget.call(now) is None
    budget.answered(now)
    budget.end(ticket, now)
    return True


def begun(budget: ShopBudget, priority: Priority, now: float) -> Ticket:
    ticket = budget.admit(priority, now)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def refused(budget: ShopBudget, priority: Priority, now: float) -> str:
    told = budget.admit(priority, now)
    assert isinstance(told, HeldBack), told
    return told.why


def test_who_waited_as_told_is_not_told_to_wait_for_nothing() -> None:
    """Regression (world 5715): a wait of 2e-15 s, asked for again and again."""
    for moment in range(300):
        budget, now = ShopBudget(), moment / 7
        while not isinstance(told := budget.admit(Priority.CREATE, now), HeldBack):
            budget.end(told, now)
        for _ in range(5):
            if not isinstance(told := budget.admit(Priority.CREATE, now), HeldBack):
                break
            assert now < now + told.wait_s
            now += told.wait_s
        else:
            pytest.fail(f"it never began, and was last told to wait {told.wait_s} s")


def many_pages_open(budget: ShopBudget, until: float) -> None:
    """Polls take all that they may, twenty times a second."""
    for tick in range(int(until * 20) + 1):
        while served(budget, Priority.POLL, tick / 20):
            pass


def test_polls_never_take_what_others_need() -> None:
    """Regression: 60 open payment pages took all 5 calls a second, and a buyer who had paid waited 29 s."""
    budget = ShopBudget()
    many_pages_open(budget, 60.0)
    assert refused(budget, Priority.POLL, 60.0) == RATE
    assert all(served(budget, priority, 60.0) for priority in URGENT)


def test_of_two_who_compete_for_the_last_call_the_more_urgent_gets_it() -> None:
    for urgent, patient in zip(URGENT, [*URGENT[1:], Priority.POLL], strict=True):
        budget = ShopBudget()
        while served(budget, patient, 0.0):
            pass
        assert served(budget, urgent, 0.0), f"{urgent.name} before {patient.name}"


def test_money_that_has_waited_long_competes_with_the_first() -> None:
    budget = ShopBudget(TokenBucket(per_second=1.0, burst=10.0))
    while served(budget, Priority.CREATE, 0.0):
        pass
    assert not served(budget, Priority.RETURN, 0.0, waited_s=GROWN_OLD_S)
    assert served(budget, Priority.RETURN, 0.0, waited_s=GROWN_OLD_S + 1)
    assert not served(budget, Priority.POLL, 0.0, waited_s=1e6)


@pytest.mark.parametrize("priority", [Priority.RECEIPT, Priority.UNPLACED, Priority.RECONCILE])
def test_what_anybody_can_cause_has_a_small_part_of_an_idle_shop_and_one_slot(priority: Priority) -> None:
    budget = ShopBudget()
    begun(budget, priority, 0.0)
    assert refused(budget, priority, 1.0) == BUSY
    budget = ShopBudget()
    made = sum(served(budget, priority, tick / 10) for tick in range(600))
    assert made <= 60 * 5 * 0.4 + 4
    assert served(budget, Priority.POLL, 60.0)


def test_idle_work_leaves_a_slot_and_a_shop_never_has_more_than_its_share() -> None:
    budget = ShopBudget()
    for _ in range(SHOP_SLOTS - 1):
        begun(budget, Priority.POLL, 0.0)
    assert refused(budget, Priority.POLL, 0.0) == BUSY
    begun(budget, Priority.NOTIFICATION, 0.0)
    assert refused(budget, Priority.NOTIFICATION, 0.0) == BUSY


def test_a_shop_that_may_be_called_more_often_has_more_slots() -> None:
    budget = ShopBudget(TokenBucket(per_second=1000.0, burst=1000.0))
    assert sum(isinstance(budget.admit(Priority.NOTIFICATION, 0.0), Ticket) for _ in range(40)) == MOST_SLOTS


def test_a_slow_shop_is_polled_half_the_time_and_its_news_do_not_rest() -> None:
    budget = ShopBudget()
    poll = begun(budget, Priority.POLL, 0.0)
    assert budget.is_slow(SLOW_S + 1), "also before it has answered"
    budget.end(poll, 9.0)
    assert budget.is_slow(9.0)
    assert refused(budget, Priority.POLL, 17.9) == SLOW
    assert served(budget, Priority.NOTIFICATION, 9.0)
    assert not budget.is_slow(9.0), "it answers quickly again"
    assert served(budget, Priority.POLL, 18.0)


def test_work_is_held_back_while_the_circuit_is_open_and_then_goes_one_at_a_time() -> None:
    """Regression: each refusal of our own grew the pauses, and the queue outlived the fault."""
    budget = ShopBudget(breaker=CircuitBreaker(failures=2, open_s=10))
    hung = [begun(budget, Priority.CREATE, 0.0), begun(budget, Priority.CREATE, 0.0)]
    for ticket in hung:
        assert budget.call(0.0) is None
        budget.failed(5.0)
        budget.end(ticket, 5.0)
    told = budget.admit(Priority.CREATE, 6.0)
    assert told == HeldBack(CIRCUIT, 9.0)
    probe = begun(budget, Priority.CREATE, 15.0)
    assert budget.call(15.0) is None
    assert refused(budget, Priority.NOTIFICATION, 15.0) == CIRCUIT
    budget.answered(15.1)
    budget.end(probe, 15.1)
    assert all(served(budget, Priority.CREATE, 15.1) for _ in range(5))


def test_what_work_calls_beyond_its_first_goes_at_once_and_is_missing_afterwards() -> None:
    budget = ShopBudget(TokenBucket(per_second=1.0, burst=4.0))
    ticket = begun(budget, Priority.NOTIFICATION, 0.0)
    assert [budget.call(0.0) for _ in range(5)] == [None] * 5
    budget.end(ticket, 0.0)
    assert refused(budget, Priority.NOTIFICATION, 0.0) == RATE
    assert isinstance(budget.call(0.0), HeldBack), "a refused caller has nothing in hand"
    assert served(budget, Priority.NOTIFICATION, 2.0)


def test_work_that_found_nothing_to_do_costs_nothing() -> None:
    budget = ShopBudget(TokenBucket(per_second=1.0, burst=1.0))
    for _ in range(9):
        budget.end(begun(budget, Priority.NOTIFICATION, 0.0), 0.0, begun=False)
    assert served(budget, Priority.NOTIFICATION, 0.0)


def test_work_that_found_nothing_to_do_leaves_no_call_in_hand() -> None:
    budget = ShopBudget(TokenBucket(per_second=1.0, burst=1.0))
    budget.end(begun(budget, Priority.NOTIFICATION, 0.0), 0.0, begun=False)
    assert budget.call(0.0) is None
    assert isinstance(budget.call(0.0), HeldBack)


def test_silence_that_was_asked_for_holds_for_all() -> None:
    budget = ShopBudget()
    ticket = begun(budget, Priority.NOTIFICATION, 0.0)
    budget.answered(0.0, pause_s=3.0)
    assert budget.call(0.0) == HeldBack(RATE, 3.0)
    budget.end(ticket, 0.0)
    assert budget.admit(Priority.NOTIFICATION, 1.0) == HeldBack(RATE, 2.0)


@given(st.integers(0, 10**6))
def test_no_mix_of_work_calls_more_often_than_the_rate(seed: int) -> None:
    draw, now, calls = random.Random(seed), 0.0, 0
    budget = ShopBudget(TokenBucket(per_second=5.0, burst=10.0))
    open_work: list[Ticket] = []
    for _ in range(300):
        now += draw.random() * 0.1
        told = budget.admit(draw.choice(list(Priority)), now)
        if isinstance(told, Ticket):
            open_work.append(told)
            calls += sum(budget.call(now) is None for _ in range(draw.choice((1, 1, 2, 3))))
        if open_work and draw.random() < 0.6:
            budget.end(open_work.pop(draw.randrange(len(open_work))), now, begun=True)
    assert calls <= 10 + 5 * now + 10, "the burst, the rate, and what work under way may overdraw"


# All shops of one process


def a_gate(clock: list[float]) -> Gate:
    return Gate(ShopBudget(), lambda: clock[0])


def test_slow_shops_together_leave_half_of_the_threads_to_the_others() -> None:
    """Regression: one merchant whose page answers after 9 s kept all 16 threads, and every cup of others waited."""
    clock, admission = [0.0], Admission(slots=8)
    slow = [a_gate(clock) for _ in range(20)]
    for gate in slow:
        ticket = gate.admit(Priority.POLL)
        assert isinstance(ticket, Ticket)
        clock[0] += SLOW_S + 1
        gate.end(ticket, begun=True)
    got = [told for gate in slow for told in [admission.admit(gate, Priority.NOTIFICATION)] if isinstance(told, Permit)]
    assert len(got) == 4
    other = a_gate(clock)
    assert isinstance(admission.admit(other, Priority.NOTIFICATION), Permit)
    admission.end(got[0])
    assert isinstance(admission.admit(slow[-1], Priority.NOTIFICATION), Permit)


def test_polls_of_all_shops_leave_half_of_the_threads_to_who_waits() -> None:
    clock, admission = [0.0], Admission(slots=8)
    polls = [admission.admit(a_gate(clock), Priority.POLL) for _ in range(20)]
    assert sum(isinstance(told, Permit) for told in polls) == 4
    taken = [admission.admit(a_gate(clock), Priority.NOTIFICATION) for _ in range(20)]
    assert sum(isinstance(told, Permit) for told in taken) == 4


def test_who_was_refused_is_woken_by_the_first_who_ends() -> None:
    clock, admission, woken = [0.0], Admission(slots=1), list[int]()
    admission.freed = lambda: woken.append(1)
    first = admission.admit(a_gate(clock), Priority.NOTIFICATION)
    assert isinstance(first, Permit)
    admission.end(first)
    assert woken == [], "nobody waited"
    first = admission.admit(a_gate(clock), Priority.NOTIFICATION)
    assert isinstance(admission.admit(a_gate(clock), Priority.NOTIFICATION), HeldBack)
    assert isinstance(first, Permit)
    admission.end(first)
    assert woken == [1]


def test_who_waits_with_his_own_thread_gets_leave_when_it_comes_and_no_longer() -> None:
    clock, admission = [0.0], Admission(slots=1)
    gate, paused = a_gate(clock), list[float]()
    held = admission.admit(gate, Priority.NOTIFICATION)
    assert isinstance(held, Permit)

    def pause(seconds: float) -> None:
        paused.append(seconds)
        clock[0] += seconds
        if len(paused) == 3:
            admission.end(held)

    admission.pause = pause
    assert isinstance(admission.admit_within(gate, Priority.CREATE, 2.0), Permit)
    assert len(paused) == 3
    assert isinstance(admission.admit_within(gate, Priority.CREATE, 2.0), HeldBack)
    assert sum(paused) <= 3.0


def test_nothing_begins_once_the_process_ends_and_nobody_waits_for_it() -> None:
    gate, admission, paused = a_gate([0.0]), Admission(), list[float]()
    admission.pause = paused.append
    under_way = admission.admit(gate, Priority.CREATE)
    assert isinstance(under_way, Permit)
    gate.close()
    assert isinstance(gate.call(), HeldBack), "nor what work under way would ask next"
    assert isinstance(admission.admit_within(gate, Priority.CREATE, 3.0), HeldBack)
    assert paused == []


def test_a_claim_that_fails_gives_its_permits_back() -> None:
    """Regression: each failure of the database closed one of the shop's slots for good (world 268)."""
    gate, admission = a_gate([0.0]), Admission()
    launcher = Launcher(admission, lambda _of: gate, ThreadPool("nobody", 0))
    waiting = [Waiting("north", "Yookassa", "100500", Priority.NOTIFICATION, 1, START)]

    def fails(_of: Waiting, _limit: int) -> list[Work]:
        raise OSError("the database is away")

    for _ in range(SHOP_SLOTS + 1):
        with pytest.raises(OSError, match="away"):
            launcher.begin(waiting, START, fails)
    done: list[int] = []
    assert launcher.begin(waiting, START, lambda _of, _limit: [lambda: done.append(1)]) is None
    assert done == [1]


def test_a_slot_is_held_while_the_shop_is_asked_and_not_while_its_answer_is_stored() -> None:
    gate, admission, told = a_gate([0.0]), Admission(slots=1), list[type]()
    launcher = Launcher(admission, lambda _of: gate, ThreadPool("nobody", 0))

    def look() -> None:
        told.append(type(admission.admit(gate, Priority.NOTIFICATION)))

    def work() -> Store:
        look()
        return look

    permit = admission.admit(gate, Priority.NOTIFICATION)
    assert isinstance(permit, Permit)
    launcher.submit(permit, work)
    assert told == [HeldBack, Permit]
