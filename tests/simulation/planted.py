"""Bugs planted into the real code, one at a time: a simulation that catches none of them proves nothing.

Each is a mistake somebody made once, here or elsewhere (docs/promises.md, mistakes). `within` worlds must show it.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation import planted_in_agent as agent
from tests.simulation import planted_in_cloud as cloud
from tests.simulation.mixes import FORGETFUL_BROKER, TWO_OF_EACH, focused
from tests.simulation.told import Told
from tests.simulation.workshop import Workshop

Patches = Callable[[], list[AbstractContextManager[Any]]]
ALWAYS, SELDOM = 12, 80
"""Worlds within which a bug is found that shows at once, and one that needs its moment."""
NO_DEDUP = {"m-001": ("without_dedup",), "m-002": ("without_dedup",)}
FORGETFUL = dict.fromkeys(NO_DEDUP, ("without_order", "without_nv"))
LATE = {"late": 1}
PROMPT = {"prompt": 1}
MUTE = dict.fromkeys(NO_DEDUP, ("without_dedup", "without_ack", "without_progress", "without_order"))
"""Neither says that it has an order nor can be asked: a machine that does puts such books right."""
DUMB = dict.fromkeys(NO_DEDUP, ("without_dedup", "without_progress"))


@dataclass(frozen=True)
class Planted:
    """One bug. `promises`: the numbers of those it breaks; `families`, `world`: what brings it out."""

    name: str
    promises: frozenset[int]
    within: int
    patches: Patches
    families: tuple[str, ...] = ()
    world: Mapping[str, Any] = field(default_factory=dict)


def hunt(workshop: Workshop, bug: Planted, first: int = 0) -> Told | None:
    """The first world that breaks one of the bug's promises; None when none did within its number."""
    with ExitStack() as planting:
        for one in bug.patches():
            planting.enter_context(one)
        for seed in range(first, first + bug.within):
            told = workshop.tell(seed, mix=focused(seed, bug.families, **bug.world))
            if any(broken.number in bug.promises for broken in told.broken):
                return told
    return None


def _bug(name: str, promises: set[int], within: int, patches: Patches, *families: str, **world: Any) -> Planted:
    return Planted(name, frozenset(promises), within, patches, families, world)


BUGS = (
    # The cloud
    _bug("the webhook is believed", {3, 5}, ALWAYS, cloud.webhook_believed, "webhooks"),
    _bug("a late done is ignored", {8}, SELDOM, cloud.late_done_ignored, "outages"),
    _bug("accepted passes for made", {3, 6}, SELDOM, cloud.accepted_is_made, "machine"),
    _bug("nobody takes the hold", {3}, ALWAYS, cloud.nobody_captures, capture="on_dispense"),
    _bug("each poured drink is given away", {4}, ALWAYS, cloud.poured_is_free, capture="on_dispense"),
    _bug("holds are left to freeze", {3}, ALWAYS, cloud.holds_left, "machine", capture="on_dispense"),
    _bug("money after the order's end is skipped", {3, 7}, SELDOM, cloud.late_money_skipped, capture="immediate",
         habits=LATE),
    _bug("the poller stops at the order's end", {3, 7}, SELDOM, cloud.poller_stops, "webhooks", capture="immediate",
         habits=LATE, strength=2.0, storms_until=3600.0),
    _bug("a refund in the cabinet ends the asking before it is booked", {4}, SELDOM, cloud.refunds_asked_later,
         "cabinet", "cloud crashes", "provider", strength=3.0, capture="immediate"),
    _bug("poured for money that is back", {5}, SELDOM, cloud.returned_money_pours, "cabinet", "webhooks", strength=2.0,
         capture="immediate", status_check="none", refund_delay=None, habits={"prompt": 1}, most_buyers=5),
    _bug("a command goes out though its money is back", {5}, ALWAYS, cloud.gone_money_pours, "cabinet", "broker",
         strength=12.0, habits={"prompt": 1}, most_buyers=5),
    _bug("what was paid at a shop that was left is lost sight of", {3, 4, 7}, ALWAYS, cloud.left_shop_forgotten,
         "accounts", strength=4.0),
    _bug("a late payment waits for ever", {3}, SELDOM, cloud.manual_make_waits),
    _bug("unknown taken for a refusal", {3, 4}, SELDOM, cloud.unknown_is_refusal, "provider"),
    _bug("a new key for each try", {4}, SELDOM, cloud.key_per_try, "provider"),
    _bug("settled before it was sent", {3}, SELDOM, cloud.settled_before_sent, "provider"),
    _bug("no answer means cancelled", {3, 4, 7}, SELDOM, cloud.silence_is_cancelled, "provider", "webhooks",
         capture="immediate", strength=2.0),
    _bug("a refund is booked each time it is heard of", {3, 4}, SELDOM, cloud.refund_booked_twice,
         "machine", "provider", capture="immediate"),
    _bug("polls take what news need", {3}, SELDOM, cloud.polls_take_it_all, status_check="polling", open_pages=30,
         poll_fast_s=2.0, capture="on_dispense", habits={"prompt": 1}, storms_until=300.0),
    _bug("one client for all merchants", {9}, SELDOM, cloud.one_client),
    _bug("a lease never ends", {3}, SELDOM, cloud.lease_for_ever, "cloud crashes"),
    _bug("a blink between two workers ends a grace", {3}, ALWAYS, cloud.no_slack, "outages", strength=2.0,
         topology=TWO_OF_EACH, habits=PROMPT, most_buyers=5),
    _bug("a new command id for each sending", {8}, SELDOM, cloud.command_id_per_sending, "network"),
    _bug("silence is certainty", {6}, SELDOM, cloud.silence_is_certainty, "machine"),
    _bug("poured again after a failure", {1, 5}, SELDOM, cloud.poured_again, "machine"),
    _bug("what a broker forgets is never sent again", {0}, ALWAYS, cloud.settled_at_puback, FORGETFUL_BROKER,
         habits=PROMPT, most_buyers=5),
    _bug("a hello has a drink refused that could still be poured", {0}, ALWAYS, cloud.hello_refuses, FORGETFUL_BROKER,
         habits=PROMPT, most_buyers=5),
    # The agent
    _bug("sent again after a timeout", {1, 6, 8}, SELDOM, agent.sent_again, "machine", inabilities=DUMB,
         strength=3.0, brew_s=20.0, switches=("drop_verdict",)),
    _bug("no deadline check", {2}, SELDOM, agent.no_deadline, "agent crashes", strength=2.0),
    _bug("a deadline of before the clock was set back is in time", {2}, SELDOM, agent.hours_ahead_is_in_time,
         "set back", "outages", "network", strength=4.0, habits=PROMPT, most_buyers=5),
    _bug("a make is left on a line that stalls", {2}, ALWAYS, agent.make_left_on_the_line, "slow line", habits=PROMPT,
         most_buyers=5),
    _bug("a free drink taken for the order's", {10}, SELDOM, agent.free_is_sold, "service", "agent crashes", "machine",
         strength=2.0, inabilities=FORGETFUL, switches=("mid_pour_crash", "reboot_before_accept")),
    _bug("bytes before the commit", {1, 6, 8}, SELDOM, agent.bytes_before_commit, "agent crashes", strength=2.0,
         inabilities=MUTE, habits=PROMPT, most_buyers=5),
    _bug("a restart pours again", {1}, SELDOM, agent.restart_pours_again, "agent crashes", inabilities=NO_DEDUP),
    _bug("told once and forgotten", {8}, SELDOM, agent.told_once, "network", "outages", "broker", strength=4.0),
    _bug("what was corrected is told first", {6}, ALWAYS, agent.corrected_and_told, "machine", strength=3.0,
         switches=("take_back_verdict", "drop_verdict"), habits=PROMPT),
    _bug("a denial is believed", {6}, SELDOM, cloud.denial_believed, "contradictions", "folders", "network",
         strength=2.0, brew_s=20.0),
    _bug("the machine's word is forgotten", {1, 6}, ALWAYS, agent.word_forgotten, "contradictions", brew_s=6.0),
    _bug("no answer taken for done", {6}, SELDOM, agent.silence_is_done, "machine"),
    _bug("an empty journal knows everything", {1, 6, 8}, ALWAYS, agent.empty_journal_knows, "folders", "network",
         "outages", strength=2.0, inabilities=NO_DEDUP),
)  # fmt: skip


def without(bug: Planted, worlds: int) -> Planted:
    """The first of the same worlds, nothing planted: what they must not show."""
    return replace(bug, patches=list, within=worlds)
