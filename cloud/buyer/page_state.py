"""What the page says and offers for each status, stage and return: pure, one `PageState` for one `OrderView`.

Holds the order of things on the page; the sentences are in `texts_*.py`, the looks in the templates.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from cloud.buyer.order_view import CHECKING, RESERVED, OrderView
from cloud.buyer.texts import declined_key, why_key
from cloud.fleet import zones
from cloud.orders.states import ACCEPTED, EXPIRED, FAILURES, SEEN_POURED, UNOBSERVED, Status
from protocol.reasons import RejectCode, Stage

REFRESH_PAYABLE_S = 10
"""Whether the machine is ready is looked at this often while the buyer decides."""
REFRESH_BLOCKED_S = 5
REFRESH_WAITING_S = 3
"""Other buyers' drinks and payments come to an end at any moment."""
REFRESH_CHECKING_S = 1
REFRESH_RETURN_S = 20
"""Returns take minutes to days."""
A_LITTLE_LATE_S = 15
"""Beyond this a drink is not "any moment now" any more."""

BEFORE_THE_FIRST_DROP = frozenset({Stage.CUP, Stage.GRIND})

Mood = Literal["empty", "waiting", "pouring", "ready", "warning", "over"]
Action = Literal["", "pay", "again", "continue", "pour"]


@dataclass(frozen=True)
class Left:
    """A sentence with a remaining time in it."""

    key: str
    seconds: int


@dataclass(frozen=True)
class PageState:
    """One state of the page. Names ending in `_key` name sentences."""

    title_key: str
    text_keys: tuple[str, ...] = ()
    mood: Mood = "waiting"
    level: int = 0
    """How full the cup is, percent."""
    step: int = -1
    """Which of pay, machine, making, ready is under way; 4 when all are done, -1 when that is over."""
    action: Action = ""
    left: Left | None = None
    why_key: str = ""
    note: str = ""
    """Name of the merchant's note for this state."""
    follow: bool = False
    """The page waits for news of the order: never where its stream would end at once."""
    moves: bool = False
    """`level` follows the machine's progress."""
    refresh_s: int = 0
    """The page looks again this often for what is no news of the order: the machine's readiness, the return."""
    is_warning: bool = False
    to_menu: bool = False
    """This order is over before it was paid: a new one can be begun."""


def page_state(view: OrderView, now: datetime) -> PageState:
    """The page for this order now."""
    match view.status:
        case Status.CREATED | Status.NOT_PAID:
            return _payable(view, now)
        case Status.PENDING:
            return PageState("pending.title", ("pending.text",), step=0, action="continue", note="client_info_pending",
                             follow=True)  # fmt: skip
        case Status.PAID:
            return _in_line(
                view, PageState("paid.title", ("paid.text",), step=1, note="client_info_paid", follow=True), now
            )
        case Status.MAKE_PENDING:
            return _making(view, now)
        case Status.MANUAL_MAKE:
            return _waiting_for_buyer(view, now)
        case Status.SUCCESSFUL if view.stage == UNOBSERVED:  # "ready" is never said without the machine's word
            return PageState("unobserved.title", ("unobserved.text",), mood="waiting", step=2,
                             note="client_info_make_pending", refresh_s=_return_refresh(view))  # fmt: skip
        case Status.SUCCESSFUL if view.stage == SEEN_POURED:
            texts = ("seen_poured.text",) if view.claim else ("seen_poured.text", "seen_poured.report")
            return PageState("seen_poured.title", texts, mood="over", refresh_s=_return_refresh(view))
        case Status.SUCCESSFUL:
            return PageState("successful.title", ("successful.text",), mood="ready", level=100, step=4,
                             note="client_info_successful", refresh_s=_return_refresh(view))  # fmt: skip
        case Status.FAILED:
            return _failed(view)
        case Status.MAKE_FAILED:
            return _make_failed(view)


def _payable(view: OrderView, now: datetime) -> PageState:
    declined = view.status is Status.NOT_PAID
    note = "client_info_not_paid" if declined else "client_info"
    if not view.can_be_paid(now):
        return PageState("created.over.title", (*_not_charged(view), "created.over.text"), mood="over", note=note,
                         follow=not declined, refresh_s=_return_refresh(view), to_menu=True)  # fmt: skip
    left = Left("created.left", seconds_until(view.expires_at, now))
    if view.obstacle in _OTHERS:
        return _others_first(view, note, now)
    if view.obstacle:
        return PageState("created.blocked.title", (*_not_charged(view), "created.blocked.text"), mood="over", step=0,
                         note=note, left=left, why_key=why_key(view.obstacle), follow=not declined,
                         refresh_s=REFRESH_BLOCKED_S)  # fmt: skip
    if declined:
        why = declined_key(view.cancel_reason)
        texts = _not_charged(view) if why else (*_not_charged(view), "not_paid.text")
        return PageState("not_paid.title", texts, mood="empty", step=0, action="again", note=note, left=left,
                         why_key=why, refresh_s=REFRESH_PAYABLE_S)  # fmt: skip
    return PageState("created.title", ("created.text",), mood="empty", step=0, action="pay", note=note, left=left,
                     follow=True, refresh_s=REFRESH_PAYABLE_S)  # fmt: skip


_OTHERS = frozenset({CHECKING, RESERVED, RejectCode.BUSY})
"""Not this machine's fault: a moment's patience, and a word about how long."""


def _others_first(view: OrderView, note: str, now: datetime) -> PageState:
    """No button while it would lie: it comes by itself."""
    follow = view.status is not Status.NOT_PAID
    if view.obstacle == CHECKING:
        return PageState("checking.title", ("checking.text",), mood="empty", step=0, note=note, follow=follow,
                         refresh_s=REFRESH_CHECKING_S)  # fmt: skip
    about = "reserved" if view.obstacle == RESERVED else "busy"
    left = None
    if view.until is not None:
        left = Left(f"{about}.left" if view.until > now else f"{about}.soon", seconds_until(view.until, now))
    return PageState(f"{about}.title", (f"{about}.text",), mood="waiting", step=0, note=note, left=left, follow=follow,
                     refresh_s=REFRESH_WAITING_S)  # fmt: skip


def _in_line(view: OrderView, alone: PageState, now: datetime) -> PageState:
    """Other drinks come first: say how many, and how long that takes where it is known."""
    if not view.queue.ahead:
        return alone
    left = None
    if view.queue.over_by is not None:
        left = Left("queue.left" if view.queue.over_by > now else "busy.soon", seconds_until(view.queue.over_by, now))
    text = "queue.next" if view.queue.ahead == 1 else "queue.many"
    return replace(alone, text_keys=(text,), left=left or alone.left, refresh_s=REFRESH_WAITING_S)


def _not_charged(view: OrderView) -> tuple[str, ...]:
    return () if view.was_paid else ("money.none",)


def _making(view: OrderView, now: datetime) -> PageState:
    note = "client_info_make_pending"
    if view.stage in set(Stage):
        mood: Mood = "waiting" if view.stage in BEFORE_THE_FIRST_DROP else "pouring"
        return PageState(f"{view.stage}.title", ("making.text",), mood=mood, level=min(view.progress, 99), step=2,
                         note=note, left=_time_to_ready(view, now), follow=True, moves=True)  # fmt: skip
    if view.stage == ACCEPTED:
        return PageState("accepted.title", ("accepted.text",), step=2, note=note, left=_time_to_ready(view, now),
                         follow=True)  # fmt: skip
    if view.never_tells:
        return _in_line(view, PageState("unobserved.title", ("unobserved.sent",), step=1, note=note, follow=True), now)
    left = Left("sent.left", seconds_until(view.due_at, now)) if view.due_at and view.due_at > now else None
    return _in_line(view, PageState("sent.title", ("sent.text",), step=1, note=note, left=left, follow=True), now)


def _time_to_ready(view: OrderView, now: datetime) -> Left | None:
    if view.ready_by is None:
        return None
    late = (now - view.ready_by).total_seconds()
    if late < 0:
        return Left("making.left", seconds_until(view.ready_by, now))
    if late <= A_LITTLE_LATE_S or view.due_at is None:
        return Left("making.soon", 0)
    return Left("making.late", seconds_until(view.due_at, now))


def _waiting_for_buyer(view: OrderView, now: datetime) -> PageState:
    left = Left("manual_make.left", seconds_until(view.due_at, now)) if view.due_at else None
    note = "client_info_manual_make"
    if view.no_pour:
        return PageState("manual_make.title", (f"manual_make.{view.no_pour}",), mood="waiting", step=1, note=note,
                         left=left, follow=True, refresh_s=REFRESH_PAYABLE_S)  # fmt: skip
    if view.obstacle not in {"", RESERVED}:  # this buyer has paid: who is paying now comes after
        soon = REFRESH_CHECKING_S if view.obstacle == CHECKING else REFRESH_BLOCKED_S
        return PageState("manual_make.title", ("manual_make.blocked",), mood="waiting", step=1, note=note, left=left,
                         why_key=why_key(view.obstacle), follow=True, refresh_s=soon)  # fmt: skip
    return PageState("manual_make.title", ("manual_make.text",), mood="waiting", step=1, action="pour", note=note,
                     left=left, follow=True, refresh_s=REFRESH_PAYABLE_S)  # fmt: skip


def _failed(view: OrderView) -> PageState:
    if view.reason == EXPIRED and not view.was_paid:
        return PageState("created.over.title", ("money.none", "created.over.text"), mood="over",
                         note="client_error_info", to_menu=True)  # fmt: skip
    return PageState("failed.title", mood="over", why_key=why_key(view.reason), note="client_error_info",
                     refresh_s=_return_refresh(view))  # fmt: skip


def _make_failed(view: OrderView) -> PageState:
    """No pay and no retry; the order is not followed any more, its return is (docs/buyer-page.md)."""
    if view.never_tells and view.uncertain:
        return PageState("unobserved.title", ("unobserved.returned",), mood="waiting", step=1,
                         note="client_info_make_failed", refresh_s=_return_refresh(view))  # fmt: skip
    not_collected = view.reason == EXPIRED and not view.was_commanded
    title = "make_failed.unsure.title" if view.uncertain else "make_failed.title"
    why = "why.not_collected" if not_collected else why_key(view.reason)
    return PageState(title, ("make_failed.text",), mood="warning", is_warning=True, why_key=why,
                     note="client_info_make_failed", refresh_s=_return_refresh(view))  # fmt: skip


def money_says(view: OrderView, now: datetime) -> tuple[str, int]:
    """The sentence about the buyer's money, and the seconds it may name; "" when there is nothing to say."""
    back = view.money_back
    if back is None:
        return _without_return(view), 0
    if back.status == "waiting":
        left = seconds_until(view.return_after, now)
        about = "money.unobserved" if view.never_tells else "money.waiting"
        return (about if left else f"{about}.soon"), left
    if view.is_hold:
        return f"money.hold.{back.status}", 0
    if back.status == "done" and (back.expected_by is None or back.expected_by <= now):
        return "money.refund.over", 0
    if back.status == "in_progress" and _is_past(back.expected_by, now, view.device.zone):
        return "money.refund.undated", 0
    return f"money.refund.{back.status}", 0


def _is_past(promised: datetime | None, now: datetime, zone: str) -> bool:
    """Whether nobody can promise that day, or it is over at the machine."""
    return promised is None or zones.day_at(promised, zone) < zones.day_at(now, zone)


def _without_return(view: OrderView) -> str:
    if view.status not in FAILURES or (view.reason == EXPIRED and not view.was_paid):
        return ""
    if view.waits_for_person:
        return "money.person"
    if view.hold_is_gone:
        return "money.hold.done"
    return "money.queued" if view.was_paid else "money.none"


def seconds_until(moment: datetime | None, now: datetime) -> int:
    """Whole seconds, never negative."""
    return max(0, math.ceil((moment - now).total_seconds())) if moment is not None else 0


def _return_refresh(view: OrderView) -> int:
    return REFRESH_RETURN_S if view.returning or view.waits_for_person else 0
