"""What `--once` can show: each fault, when it strikes, and how the order must end, money included."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One purchase. `status` and `reasons` are the ends that are right; `cups` how many must be full at the end."""

    name: str
    says: str
    status: str = "successful"
    reasons: frozenset[str] = frozenset()
    cups: int = 1
    touched: int = 1
    """Into how many cups anything may have flowed."""
    captured: bool = True
    """The provider's books end with the price captured and nothing returned; else with nothing kept."""
    machine_switch: str = ""
    """Switched on at the machine after the payment page has opened, before the buyer pays."""
    declined: bool = False
    agent_killed: bool = False


def _failed(
    name: str, says: str, *reasons: str, touched: int = 0, switch: str = "", agent_killed: bool = False
) -> Scenario:
    return Scenario(
        name, says, "make_failed", frozenset(reasons), cups=0, touched=touched, captured=False, machine_switch=switch,
        agent_killed=agent_killed,
    )  # fmt: skip


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("none", "everything works"),
        _failed("no_water", "the water runs out while the buyer pays", "rejected:no_water", switch="no_water"),
        _failed(
            "silent", "the machine hangs: it hears nothing and says nothing",
            "no_ack", "no_outcome", "unknown", "rejected:machine_offline", switch="silent",
        ),
        _failed(
            "mid_pour_crash", "the power fails in the middle of the pour",
            "unknown", "no_outcome", "failed:power_lost", "failed:interrupted", touched=1, switch="mid_pour_crash",
        ),
        _failed("agent_offline", "the agent loses its power while the buyer pays", "no_ack", "expired",
                "rejected:never_received", agent_killed=True),
        Scenario(
            "declined", "the bank declines the card", "not_paid", cups=0, touched=0, captured=False, declined=True
        ),
        Scenario("drop_verdict", "the machine's answer to the make command is lost", machine_switch="drop_verdict"),
        Scenario("drop_done", "the machine's word that it is done is lost once", machine_switch="drop_done"),
        Scenario("garbage", "there is noise on the line", machine_switch="garbage"),
    )
}  # fmt: skip
