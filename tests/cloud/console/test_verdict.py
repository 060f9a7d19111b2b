"""One sentence for every order there can be, true in both languages."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloud.console.orders.facts import summaries_of
from cloud.console.orders.sentence import sentence
from cloud.console.orders.texts_en import EN
from cloud.console.orders.texts_ru import RU
from cloud.console.orders.verdict import Facts, MoneyIs, Returning, drink_phrase, money_is, verdict
from cloud.console.shell.texts import SHELL, ConsoleTexts
from cloud.orders import return_requests
from cloud.orders.at_risk import Next, each_at_risk
from cloud.orders.money import REFUSALS_FOR_A_PERSON, PaymentSnapshot, PaymentState, owed, paying_payment
from cloud.orders.order_tasks import settle_task
from cloud.orders.outbox import Lease, claim
from cloud.orders.owed_tasks import LAST_RETRY_S, settle_money
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.return_requests import Asker, ReturnRequest, Wanted
from cloud.orders.return_rules import Limits, RequestState, ReturnReason
from cloud.orders.states import SEEN_POURED, TOLD_LATE, UNOBSERVED, Status
from cloud.orders.tasks import BY_HAND, DONE, REFUSED, Lane, Task
from protocol.reasons import Result
from tests.cloud.worlds import ONE_STAGE, World

NOW = datetime(2026, 3, 2, 9, 4, tzinfo=UTC)
PRICE = 17900
TEXTS = {
    "ru": ConsoleTexts("ru", {**SHELL["ru"], **RU}, NOW),
    "en": ConsoleTexts("en", {**SHELL["en"], **EN}, NOW),
}


def paid(
    state: PaymentState, captured: int = 0, refunded: int = 0, problem: str = "", at: bool = True
) -> PaymentSnapshot:
    return PaymentSnapshot("p", state, PRICE, captured, refunded, problem, NOW if at else None)


PAYMENTS = {
    "nothing": (),
    "asked": (paid(PaymentState.PENDING, at=False),),
    "declined": (paid(PaymentState.CANCELED, at=False),),
    "held": (paid(PaymentState.HELD),),
    "let go": (paid(PaymentState.CANCELED),),
    "taken": (paid(PaymentState.CAPTURED, PRICE),),
    "taken in part": (paid(PaymentState.CAPTURED, 10000),),
    "part back": (paid(PaymentState.CAPTURED, PRICE, 5000),),
    "back": (paid(PaymentState.CAPTURED, PRICE, PRICE),),
    "wrong": (paid(PaymentState.CAPTURED, 100, problem="amount"),),
}
RETURNS = {
    "none": Returning(),
    "open": Returning(is_open=True),
    "begun": Returning(is_open=True, has_begun=True),
    "refused": Returning(is_open=True, has_begun=True, refusals=3),
    "by hand": Returning(is_for_person=True),
    "a part": Returning(is_open=True, kopecks=2000),
    "a part refused": Returning(is_open=True, has_begun=True, refusals=3, kopecks=2000),
}
OUTCOMES = {
    "plain": {},
    "uncertain": {"uncertain": True, "reason": "no_outcome", "returns_at": NOW},
    "for a person": {"uncertain": True, "reason": "unknown", "waits_for_person": True},
    "refused": {"reason": "rejected:no_water"},
    "mad": {"reason": "failed:what_is_this"},
    "trusted": {"stage": UNOBSERVED},
    "seen": {"stage": SEEN_POURED},
    "told late": {"stage": TOLD_LATE},
    "brewing": {"stage": "brew"},
    "expired": {"reason": "expired"},
}
EVERY = list(itertools.product(Status, PAYMENTS, RETURNS, OUTCOMES))


def facts(status: Status, payments: str = "taken", returning: str = "none", outcome: str = "plain") -> Facts:
    whole = Facts(status, PRICE, payments=PAYMENTS[payments], returning={"p": RETURNS[returning]}, finished_at=NOW,
                  money_at=NOW)  # fmt: skip
    return replace(whole, **OUTCOMES[outcome])  # type: ignore[arg-type]  # a table of fields


def twice_paid(returning: str) -> Facts:
    """The first pays for the drink, the money of the other goes back."""
    first, second = paid(PaymentState.CAPTURED, PRICE), paid(PaymentState.CAPTURED, 2000, problem="amount")
    both = [first, replace(second, id="second")]
    return replace(facts(Status.SUCCESSFUL), payments=both, returning={"second": RETURNS[returning]})


def said(of: Facts, language: str = "ru") -> str:
    return sentence(TEXTS[language], verdict(of))


def test_every_status_money_and_outcome_has_one_whole_sentence_in_both_languages() -> None:
    for case in EVERY:
        for language in TEXTS:
            words = said(facts(*case), language)
            assert words[0].isupper() or words[0].isdigit(), (case, words)
            assert words.endswith("."), (case, words)
            assert words.count(".") == 1, (case, words)
            assert "{" not in words, (case, words)


def test_poured_is_never_said_without_the_machines_word_nor_back_without_the_providers() -> None:
    for case in EVERY:
        of = facts(*case)
        poured = of.status is Status.SUCCESSFUL and of.stage not in {UNOBSERVED, SEEN_POURED}
        assert (drink_phrase(of).key == "orders.drink.successful") == poured, case
        payment = of.payments[0] if of.payments else None
        is_back = payment is not None and payment.refunded >= payment.captured > 0
        assert (money_is(of) is MoneyIs.RETURNED) == is_back, case


def refuse(world: World, order_id: str, verdict: str = REFUSED) -> None:
    """The provider will not make the return."""
    world.clock.advance(LAST_RETRY_S)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.in_docket(order_id, settle_task, row.key, "cashier", verdict, world.now)
    world.in_docket(order_id, settle_money, world.now)


def page_says(world: World, order_id: str) -> MoneyIs:
    with world.database.read() as session:
        return money_is(summaries_of(session, [order_id])[order_id].facts)


def listed(world: World) -> dict[str, Next]:
    with world.database.read() as session:
        return {money.payment_id: money.action for money in each_at_risk(session, world.now)}


@pytest.mark.parametrize("refusals", [[REFUSED] * REFUSALS_FOR_A_PERSON, [BY_HAND]])
def test_only_money_at_risk_is_called_stuck(sqlite_world: World, refusals: list[str]) -> None:
    """Regression: a return that was refused stayed stuck on the page after the machine said that it had poured."""
    world, order_id = sqlite_world, sqlite_world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.wait(world.rules.uncertain_grace_s)
    for verdict_of_call in refusals:
        refuse(world, order_id, verdict_of_call)
    assert (page_says(world, order_id), set(listed(world).values())) == (MoneyIs.STUCK, {Next.PERSON})
    world.report(order_id, Result.DONE, revision=2)
    assert (page_says(world, order_id), listed(world)) == (MoneyIs.TAKEN, {})


def test_refusals_of_two_payments_are_not_added_up(sqlite_world: World) -> None:
    """Regression: two refusals of what was returned in the end, and one more of another, were called stuck."""
    world = sqlite_world
    order_id = world.scan()
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CANCELED)
    world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED)
    world.clock.advance(60)
    world.tell(second, PaymentState.CAPTURED)
    for _ in range(REFUSALS_FOR_A_PERSON - 1):
        refuse(world, order_id)
    world.refunded(second)
    world.publish(order_id)
    world.report(order_id, Result.REJECTED, "no_water")
    refuse(world, order_id)
    assert page_says(world, order_id) is MoneyIs.RETURNING
    assert set(listed(world).values()) == {Next.RETURN_OPEN}


def ask_back(world: World, order_id: str, kopecks: int | None = None) -> int:
    """A person returns money of a poured drink; the number of the request."""
    wanted = Wanted(ReturnReason.BAD_DRINK, kopecks=kopecks)
    return world.database.transact(
        return_requests.ask, order_id, wanted, Asker("anna@example.org"), Limits(), world.now
    ).id


def part_refused(world: World) -> str:
    order_id = world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    ask_back(world, order_id, 2000)
    for _ in range(REFUSALS_FOR_A_PERSON):
        refuse(world, order_id)
    return order_id


def part_went_in_the_end(world: World) -> str:
    order_id = part_refused(world)
    world.clock.advance(LAST_RETRY_S)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.refunded(row.subject, amount=2000)
    world.in_docket(order_id, settle_task, row.key, "cashier", DONE, world.now)
    return order_id


def part_went_in_the_cabinet(world: World) -> str:
    order_id = part_refused(world)
    world.refunded(world.payment(order_id).id, amount=2000)
    return order_id


def hold_taken_in_the_end(world: World) -> str:
    order_id = world.bring_to(Status.SUCCESSFUL)
    for _ in range(REFUSALS_FOR_A_PERSON):
        refuse(world, order_id)
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED)
    return order_id


@pytest.mark.both_databases
@pytest.mark.parametrize("before", [part_went_in_the_end, part_went_in_the_cabinet, hold_taken_in_the_end])
def test_what_was_refused_before_is_not_held_against_the_next_return(
    world: World, before: Callable[[World], str]
) -> None:
    """Regression: it waited for an hour, was a person's at once, and its request was refused unasked."""
    order_id = before(world)
    ReturnFollowup(world.database).step(world.now)
    assert listed(world) == {}
    request_id = ask_back(world, order_id)
    ReturnFollowup(world.database).step(world.now)
    with world.database.read() as session:
        assert session.get_one(ReturnRequest, request_id).state == RequestState.OWED
    [row] = [row for row in world.rows(order_id, Task.REFUND) if row.settled_at is None]
    assert (row.due_at, page_says(world, order_id)) == (world.now, MoneyIs.RETURNING)
    assert listed(world) == {row.subject: Next.RETURN_OPEN}
    for _ in range(REFUSALS_FOR_A_PERSON):
        refuse(world, order_id)
    assert (page_says(world, order_id), listed(world)) == (MoneyIs.STUCK, {row.subject: Next.PERSON})


def test_a_part_or_another_payment_on_its_way_back_is_not_told_as_all_the_money(sqlite_world: World) -> None:
    """Regression: of 20 roubles that went back, and of a second payment, "the money is on its way back" was told."""
    world, in_part = sqlite_world, sqlite_world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    ask_back(world, in_part, 2000)
    assert page_says(world, in_part) is MoneyIs.PART_RETURNING
    refuse(world, in_part, BY_HAND)
    assert page_says(world, in_part) is MoneyIs.PART_STUCK
    order_id = world.scan()
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CANCELED)
    world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED)
    world.clock.advance(60)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.tell(second, PaymentState.CAPTURED)
    assert page_says(world, order_id) is MoneyIs.SECOND_RETURNING
    refuse(world, order_id, BY_HAND)
    assert page_says(world, order_id) is MoneyIs.SECOND_STUCK
    world.refunded(second)
    assert page_says(world, order_id) is MoneyIs.TAKEN


def test_money_that_should_have_gone_back_and_has_no_way_is_told_as_bad() -> None:
    without_a_drink = [case for case in EVERY if case[0] in {Status.NOT_PAID, Status.FAILED, Status.MAKE_FAILED}]
    for case in without_a_drink:
        of = facts(*case)
        goes_back = case[2] in {"open", "begun", "a part"} and not (of.waits_for_person and paying_payment(of.payments))
        if owed(of.status, of.payments) and not goes_back:
            assert verdict(of).light == "bad", case


def test_money_that_does_not_fit_is_never_told_as_received() -> None:
    """Regression: of a poured drink it was, as long as no return of it was open."""
    for status, returning, outcome in itertools.product(Status, RETURNS, OUTCOMES):
        of = facts(status, "wrong", returning, outcome)
        assert money_is(of) in {MoneyIs.STUCK, MoneyIs.RETURNING}, (status, returning, outcome)


def test_the_page_speaks_of_the_money_that_is_still_here(sqlite_world: World) -> None:
    """Regression: the drink's own was back, and a second payment's was told to be."""
    world = sqlite_world
    order_id = world.scan()
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CANCELED)
    first = world.start(order_id, ONE_STAGE)
    world.tell(first, PaymentState.CAPTURED)
    world.publish(order_id)
    world.report(order_id, Result.REJECTED, "no_water")
    world.refunded(first)
    assert page_says(world, order_id) is MoneyIs.RETURNED
    world.tell(second, PaymentState.CAPTURED, captured=100, problem="amount")
    assert page_says(world, order_id) is MoneyIs.RETURNING
    refuse(world, order_id, BY_HAND)
    assert (page_says(world, order_id), listed(world)) == (MoneyIs.STUCK, {second: Next.PERSON})
    world.refunded(second, "rf-2", 100)
    assert (page_says(world, order_id), listed(world)) == (MoneyIs.RETURNED, {})


@pytest.mark.parametrize(
    ("of", "ru", "en"),
    [
        (
            facts(Status.MAKE_FAILED, "back", outcome="refused"),
            "Деньги вернулись в 12:04; напиток не налит: в автомате закончилась вода.",
            "The money went back at 12:04; the drink was not poured: the machine is out of water.",
        ),
        (
            facts(Status.SUCCESSFUL),
            "Автомат налил напиток в 12:04; 179\u00a0₽ получены.",
            "The machine poured the drink at 12:04; 179\u00a0₽ were received.",
        ),
        (
            facts(Status.SUCCESSFUL, "taken in part"),
            "Автомат налил напиток в 12:04; 100\u00a0₽ получены.",
            "The machine poured the drink at 12:04; 100\u00a0₽ were received.",
        ),
        (
            facts(Status.SUCCESSFUL, "taken", "a part"),
            "Автомат налил напиток в 12:04; возвращается часть денег, 20\u00a0₽.",
            "The machine poured the drink at 12:04; 20\u00a0₽ is on its way back, a part of the money.",
        ),
        (
            facts(Status.SUCCESSFUL, "taken", "a part refused"),
            "Автомат налил напиток в 12:04; часть денег, 20\u00a0₽, не возвращается, нужен человек.",
            "The machine poured the drink at 12:04; 20\u00a0₽, a part of the money, does not go back, "
            "a person is needed.",
        ),
        (
            twice_paid("a part"),
            "Автомат налил напиток в 12:04; 20\u00a0₽ второго платежа возвращаются.",
            "The machine poured the drink at 12:04; 20\u00a0₽ of a second payment is on its way back.",
        ),
        (
            twice_paid("a part refused"),
            "Автомат налил напиток в 12:04; 20\u00a0₽ второго платежа не возвращаются, нужен человек.",
            "The machine poured the drink at 12:04; "
            "20\u00a0₽ of a second payment does not go back, a person is needed.",
        ),
        (
            facts(Status.SUCCESSFUL, outcome="seen"),
            "Человек убедился в 12:04, что напиток налит; 179\u00a0₽ получены.",
            "A person made sure at 12:04 that the drink was poured; 179\u00a0₽ were received.",
        ),
        (
            facts(Status.SUCCESSFUL, outcome="told late"),
            "Автомат налил напиток; 179\u00a0₽ получены.",
            "The machine poured the drink; 179\u00a0₽ were received.",
        ),
        (
            facts(Status.MAKE_FAILED, "taken", "open", "uncertain"),
            "Деньги вернутся сами в 12:04; налит ли напиток, неизвестно: автомат принял заказ, но не сообщил, "
            "чем всё закончилось.",
            "The money goes back by itself at 12:04; nobody knows whether the drink was poured: the machine took "
            "the order but never said how it ended.",
        ),
        (
            facts(Status.MAKE_FAILED, "taken", outcome="for a person"),
            "Деньги ждут решения человека; налит ли напиток, неизвестно: автомат не смог сказать, чем всё закончилось.",
            "The money waits for a person to decide; nobody knows whether the drink was poured: the machine could not "
            "say how it ended.",
        ),
        (
            facts(Status.SUCCESSFUL, "part back"),
            "Автомат налил напиток в 12:04; вернули 50\u00a0₽.",
            "The machine poured the drink at 12:04; 50\u00a0₽ were returned.",
        ),
    ],
)
def test_the_sentences_people_ask_about(of: Facts, ru: str, en: str) -> None:
    assert (said(of), said(of, "en")) == (ru, en)
