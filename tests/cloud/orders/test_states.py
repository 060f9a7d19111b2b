"""The table of states: every pair of status and event, and what the table promises about money. Names of groups."""

import ast
import itertools
import re
from pathlib import Path

import pytest

from cloud.orders.states import (
    DRINK_ENDED,
    FAILURES,
    FINAL,
    ON_ITS_WAY,
    PAYABLE,
    STILL_OPEN,
    TRANSITIONS,
    Event,
    Status,
    diagram,
    next_state,
    values_of,
)

S, E = Status, Event
ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "orders.md"
ONCE_PAID = {S.PAID, S.MAKE_PENDING, S.MANUAL_MAKE, S.SUCCESSFUL, S.MAKE_FAILED}
UNPAID = {S.CREATED, S.PENDING, S.NOT_PAID, S.FAILED}
ABOUT_MONEY = {
    *(E.PAYMENT_STARTED, E.PAYMENT_REFUSED, E.PAYMENT_CANCELED, E.PAYMENT_WRONG),
    *(E.PAID_IN_TIME, E.PAID_LATE, E.ORDER_EXPIRED),
}

MEANINGFUL = """
created       payment_started      pending
created       order_expired        failed
pending       payment_refused      failed
pending       payment_wrong        failed
pending       payment_canceled     not_paid
pending       paid_in_time         paid
pending       paid_late            manual_make
not_paid      payment_started      pending
not_paid      payment_wrong        failed
paid          command_published    make_pending
paid          command_not_sent     make_failed
paid          money_returned       make_failed
paid          machine_accepted     make_pending
paid          machine_done         successful
paid          machine_refused      make_failed
paid          machine_unsure       make_failed
make_pending  machine_accepted     make_pending
make_pending  machine_done         successful
make_pending  machine_refused      make_failed
make_pending  machine_unsure       make_failed
paid          outcome_trusted      successful
make_pending  outcome_trusted      successful
make_pending  no_ack               make_failed
make_pending  no_outcome           make_failed
manual_make   make_requested       paid
manual_make   manual_make_expired  make_failed
manual_make   money_returned       make_failed
make_failed   machine_done         successful
make_failed   machine_refused      make_failed
make_failed   seen_poured          successful
successful    trust_refuted        make_failed
pending       restored             make_failed
not_paid      restored             make_failed
failed        restored             make_failed
manual_make   restored             make_failed
"""
EXPECTED = {(S(now), E(event)): S(then) for now, event, then in map(str.split, MEANINGFUL.strip().splitlines())}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(Status, Event)))
def test_every_event_does_to_every_status_what_is_written_here(status: Status, event: Event) -> None:
    assert next_state(status, event) == EXPECTED.get((status, event))


def test_there_are_nine_statuses_with_the_names_others_hold_on_to() -> None:
    names = "created pending paid make_pending manual_make successful not_paid failed make_failed"
    assert [status.value for status in Status] == names.split()


def test_what_a_provider_says_never_moves_an_order_that_was_paid() -> None:
    for status, event in itertools.product(ONCE_PAID, ABOUT_MONEY):
        assert next_state(status, event) is None


def test_a_paid_order_never_becomes_unpaid() -> None:
    for (now, _), then in TRANSITIONS.items():
        assert now not in ONCE_PAID or then in ONCE_PAID


def test_a_drink_is_only_begun_on_money_or_at_a_persons_request() -> None:
    begins = {(now, event) for (now, event), then in TRANSITIONS.items() if then is S.PAID}
    assert begins == {(S.PENDING, E.PAID_IN_TIME), (S.MANUAL_MAKE, E.MAKE_REQUESTED)}


def test_only_the_machines_word_or_a_persons_in_its_place_makes_an_order_successful() -> None:
    events = {event for (_, event), then in TRANSITIONS.items() if then is S.SUCCESSFUL}
    assert events == {E.MACHINE_DONE, E.OUTCOME_TRUSTED, E.SEEN_POURED}


def test_nothing_leaves_success_but_a_trust_the_machine_refutes() -> None:
    assert [event for (now, event) in TRANSITIONS if now is S.SUCCESSFUL] == [E.TRUST_REFUTED]


def test_a_final_status_is_left_only_by_a_new_payment_late_truth_or_a_restore() -> None:
    leaving = {(now, event) for (now, event), then in TRANSITIONS.items() if now in FINAL and then is not now}
    assert leaving == {
        (S.NOT_PAID, E.PAYMENT_STARTED),
        (S.NOT_PAID, E.PAYMENT_WRONG),
        (S.MAKE_FAILED, E.MACHINE_DONE),
        (S.MAKE_FAILED, E.SEEN_POURED),
        (S.SUCCESSFUL, E.TRUST_REFUTED),
        (S.NOT_PAID, E.RESTORED),  # money of a time that the database has forgotten
        (S.FAILED, E.RESTORED),
    }


def test_every_waiting_status_has_a_way_to_the_end() -> None:
    reaches = set(FINAL)
    while more := {now for (now, _), then in TRANSITIONS.items() if then in reaches} - reaches:
        reaches |= more
    assert reaches == set(Status)


def test_paying_is_offered_exactly_where_a_payment_may_start() -> None:
    assert {now for (now, event) in TRANSITIONS if event is E.PAYMENT_STARTED} == PAYABLE
    assert PAYABLE <= UNPAID


def test_the_diagram_in_the_documents_is_drawn_from_the_table() -> None:
    drawn = re.search(
        r"<!-- diagram -->\n```mermaid\n(.*?)\n```\n<!-- /diagram -->", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL
    )
    assert drawn is not None
    assert drawn[1] == diagram()


def test_the_document_tells_of_every_status_and_event() -> None:
    told = DOCUMENT.read_text(encoding="utf-8")
    missing = [word.value for word in (*Status, *Event) if f"`{word.value}`" not in told]
    assert not missing


def groups_in(source: str) -> list[set[str]]:
    """The statuses that each collection in a program spells out."""
    spelled = re.compile(r"(?:S|Status)\.([A-Z_]+)(?:\.value)?")
    return [
        {match[1].lower() for item in node.elts if (match := spelled.fullmatch(ast.unparse(item)))}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Set | ast.Tuple | ast.List)
    ]


def test_a_group_of_statuses_that_has_a_name_is_spelled_out_nowhere_else() -> None:
    named = [set(values_of(group)) for group in (FINAL, PAYABLE, STILL_OPEN, ON_ITS_WAY, DRINK_ENDED, FAILURES)]
    assert groups_in("status in (Status.PAID.value, S.MAKE_PENDING)") == [set(values_of(ON_ITS_WAY))]
    sources = [path for path in (ROOT / "cloud").rglob("*.py") if path != ROOT / "cloud" / "orders" / "states.py"]
    assert not [path for path in sources if any(group in named for group in groups_in(path.read_text()))]
