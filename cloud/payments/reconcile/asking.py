"""Asks a provider patiently: whole lists page by page, single things within a budget. Believes no half answer."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from cloud.payments.admission import Admission, Gate
from cloud.payments.budget import HeldBack, Priority
from cloud.payments.facts import Page
from cloud.payments.outcomes import NotSent, Ok, Outcome, RateLimited, Rejected, Unknown, next_ask

T = TypeVar("T")

TRIES = 6
"""With growing pauses (1, 2, 3, 5, 8 s) some 20 s: what lasts longer is tried again in an hour."""
MAX_PAGES = 20_000
"""Of 100 entries: two million payments of one shop in a day. A list that goes on is broken."""
MAX_SINGLE_QUESTIONS = 5000
"""At five a second a quarter of an hour; more means that nothing fits, which is told as one finding."""
LONGEST_TURN_S, SHORTEST_PAUSE_S = 300.0, 0.2
"""How long a question waits for its turn, and how often it asks for it."""
NO_LIST = "no_list"
"""The code a provider without lists refuses a list with."""


class NoAnswer(Exception):
    """The provider did not answer, or not to the end."""


class HasNoList(Exception):
    """This provider offers no list."""


class Asking:
    """One look's questions to one provider. `pause` waits so many seconds; `alive` is called before each question.

    `admission` lets a question begin when it keeps no waiting buyer or operator waiting.
    """

    def __init__(
        self, pause: Callable[[float], None], alive: Callable[[], None] = lambda: None,
        admission: Admission | None = None, gate: Gate | None = None,
    ) -> None:  # fmt: skip
        self._pause = pause
        self._alive = alive
        self._admission = admission
        self._gate = gate
        self._left = MAX_SINGLE_QUESTIONS

    def pages(self, page_after: Callable[[str | None], Outcome[Page[T]]]) -> Iterator[Page[T]]:
        """Every page of a list. Raises `NoAnswer` (what came before it is true all the same) and `HasNoList`."""
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self._page(page_after, cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in seen:
                break
            seen.add(cursor)
        raise NoAnswer("its list does not end")

    def one(self, question: Callable[[], Outcome[T]]) -> Outcome[T] | None:
        """A single thing; None when the budget is used up."""
        if self._left <= 0:
            return None
        self._left -= 1
        return self._patiently(question)

    def _page(self, page_after: Callable[[str | None], Outcome[Page[T]]], cursor: str | None) -> Page[T]:
        outcome = self._patiently(lambda: page_after(cursor))
        match outcome:
            case Ok(page):
                return page
            case Rejected(code=code) if code == NO_LIST:
                raise HasNoList
            case Rejected(code=code):
                raise NoAnswer(f"it refuses its list: {code}")
            case _:
                raise NoAnswer(f"its list: {type(outcome).__name__}")

    def _patiently(self, question: Callable[[], Outcome[T]]) -> Outcome[T]:
        outcome = self._in_turn(question)
        for attempt in range(1, TRIES):
            if not isinstance(outcome, Unknown | NotSent | RateLimited):
                break
            self._pause(next_ask(attempt, outcome.retry_after_s, lambda: 0.0))
            outcome = self._in_turn(question)
        return outcome

    def _in_turn(self, question: Callable[[], Outcome[T]]) -> Outcome[T]:
        """Ask once it may begin; a shop that stays closed is `NotSent`."""
        self._alive()
        if self._admission is None or self._gate is None:
            return question()
        waited_s = 0.0
        while isinstance(permit := self._admission.admit(self._gate, Priority.RECONCILE), HeldBack):
            if waited_s >= LONGEST_TURN_S:
                return NotSent(permit.why, permit.wait_s, held_back=True)
            self._pause(max(permit.wait_s, SHORTEST_PAUSE_S))
            waited_s += max(permit.wait_s, SHORTEST_PAUSE_S)
            self._alive()
        try:
            return question()
        finally:
            self._admission.end(permit)
