"""What a buyer says of an order, and what a person answers."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cloud.database.transaction import Transaction
from cloud.orders import claims
from cloud.orders.claims import ClaimKind, NotClaimable
from cloud.orders.locked_order import lock_order
from cloud.orders.states import Status
from tests.cloud.orders.test_operator_actions import poured
from tests.cloud.worlds import World
from tests.waiting import wait_until

pytestmark = pytest.mark.any_database


def say(world: World, order_id: str, words: str = "", kind: ClaimKind | None = ClaimKind.NOT_POURED) -> int:
    return world.database.transact(claims.say, order_id, kind, words, "ru", world.now).id


def answer(world: World, claim_id: int, words: str, resolves: bool = False) -> None:
    world.database.transact(claims.answer, claim_id, "anna@example.org", words, world.now, resolves=resolves)


def told(world: World, claim_id: int) -> list[tuple[str, str]]:
    with world.database.read() as session:
        return [(message.by, message.words) for message in claims.messages_of(session, claim_id)]


def states(world: World, order_id: str) -> list[str]:
    with world.database.read() as session:
        return [claim.state for claim in claims.claims_of(session, order_id)]


@pytest.mark.both_databases
def test_a_claim_is_a_conversation_that_ends_when_it_is_resolved(world: World) -> None:
    order_id = poured(world)
    claim = say(world, order_id, " Ничего не\r\nналило\x07 ")
    answer(world, claim, "Вернём деньги")
    assert states(world, order_id) == ["answered"]
    assert say(world, order_id, "Спасибо", kind=None) == claim
    assert states(world, order_id) == ["open"]
    answer(world, claim, "", resolves=True)
    assert states(world, order_id) == ["resolved"]
    assert told(world, claim) == [
        ("", "Ничего не\nналило"), ("anna@example.org", "Вернём деньги"), ("", "Спасибо")
    ]  # fmt: skip
    with pytest.raises(NotClaimable, match="resolved"):
        answer(world, claim, "more")


@pytest.mark.both_databases
def test_who_answers_waits_for_a_buyer_who_is_writing(world: World) -> None:
    """Regression: each held what the other wanted, the claim and its order; PostgreSQL let one of them fail."""
    order_id = poured(world)
    claim = say(world, order_id)
    with ThreadPoolExecutor(1) as pool:

        def write(tx: Transaction) -> Future[None]:
            lock_order(tx, order_id)
            answered = pool.submit(answer, world, claim, "Вернём деньги")
            if not world.database.is_sqlite:
                wait_until(world.somebody_waits, what="the answer to wait for the order")
            claims.say(tx, order_id, None, "и пить хочется", "ru", world.now)
            return answered

        world.database.transact(write).result(30)
    assert [words for _, words in told(world, claim)] == ["и пить хочется", "Вернём деньги"]


def test_one_is_open_at_a_time_and_three_are_all(world: World) -> None:
    order_id = poured(world)
    for number in range(claims.CLAIMS_EACH):
        claim = say(world, order_id, str(number))
        world.database.transact(claims.mark_resolved, order_id, "anna@example.org", "talked", world.now)
        assert states(world, order_id) == ["resolved"] * (number + 1)
    with pytest.raises(NotClaimable, match="too_many"):
        say(world, order_id)
    assert claim


def test_what_a_stranger_could_grow_is_limited(world: World) -> None:
    order_id = poured(world)
    for number in range(claims.MESSAGES_EACH):
        say(world, order_id, f"again {number}")
    with pytest.raises(NotClaimable, match="too_many"):
        say(world, order_id, "and again")
    with pytest.raises(NotClaimable, match="too_long"):
        say(world, order_id, "x" * (claims.TEXT_LIMIT + 1))


@pytest.mark.parametrize("words", ["Налило половину", ""])
def test_a_second_press_says_nothing_anew(world: World, words: str) -> None:
    """Regression: on a slow line the words were there twice, or what was sent well ended in an error."""
    order_id = poured(world)
    claim = say(world, order_id, words)
    world.clock.advance(2)
    assert say(world, order_id, words) == claim
    assert told(world, claim) == [("", words)] * bool(words)


def test_the_same_words_later_or_after_an_answer_are_said_again(world: World) -> None:
    order_id = poured(world)
    claim = say(world, order_id, "Ау")
    world.clock.advance(60)
    say(world, order_id, "Ау", kind=None)
    answer(world, claim, "Мы здесь")
    say(world, order_id, "Ау", kind=None)
    assert [words for _, words in told(world, claim)] == ["Ау", "Ау", "Мы здесь", "Ау"]
    assert states(world, order_id) == ["open"]


def test_of_what_was_never_begun_to_be_paid_nothing_is_claimed(world: World) -> None:
    with pytest.raises(NotClaimable, match="unpaid"):
        say(world, world.bring_to(Status.CREATED))


def test_the_first_word_names_a_kind_and_the_next_ones_need_words(world: World) -> None:
    order_id = poured(world)
    with pytest.raises(NotClaimable, match="kind_needed"):
        say(world, order_id, "hm", kind=None)
    say(world, order_id)
    with pytest.raises(NotClaimable, match="words_needed"):
        say(world, order_id, kind=None)
