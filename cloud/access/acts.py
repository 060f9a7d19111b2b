"""Every act a person can do here, and which role may do it. Pure; the one table that decides (docs/console.md)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a person is to a merchant."""

    OWNER = "owner"
    MANAGER = "manager"
    SUPPORT = "support"
    TECHNICIAN = "technician"
    ACCOUNTANT = "accountant"
    VIEWER = "viewer"


class Act(StrEnum):
    """One thing a person can ask of the console; a page is the act of looking at it."""

    OWN_ACCOUNT = "own_account"
    SEE_NOW = "see_now"
    SEE_FLEET = "see_fleet"
    SEE_ORDERS = "see_orders"
    SEE_SUMS = "see_sums"
    SEE_MONEY = "see_money"
    SEE_CHARTS = "see_charts"
    SEE_CLAIMS = "see_claims"
    SEE_INCIDENTS = "see_incidents"
    SEE_SETTINGS = "see_settings"
    SEE_JOURNAL = "see_journal"
    """Every act at a merchant."""
    SEE_MONEY_JOURNAL = "see_money_journal"
    SEE_OWN_JOURNAL = "see_own_journal"
    EXPORT = "export"
    REQUEST_RETURN = "request_return"
    KEEP_MONEY = "keep_money"
    APPROVE_RETURN = "approve_return"
    POUR_AGAIN = "pour_again"
    RESOLVE = "resolve"
    NOTE_ORDER = "note_order"
    ANSWER_CLAIM = "answer_claim"
    SETTLE_DIFFERENCE = "settle_difference"
    RINSE = "rinse"
    RESTART = "restart"
    TEST_CUP = "test_cup"
    CLOSE_AND_OPEN = "close_and_open"
    RESUME = "resume"
    MACHINE_SETTINGS = "machine_settings"
    NOTE_MACHINE = "note_machine"
    ACKNOWLEDGE = "acknowledge"
    EDIT_ALERTS = "edit_alerts"
    EDIT_MENU = "edit_menu"
    """Drinks, prices and the texts buyers read."""
    EDIT_MACHINES = "edit_machines"
    EDIT_MERCHANT = "edit_merchant"
    EDIT_CREDENTIALS = "edit_credentials"
    MANAGE_USERS = "manage_users"
    ENROL = "enrol"
    REVOKE_DEVICE = "revoke_device"
    IMPORT_FLEET = "import_fleet"
    OPEN_SUPPORT_ACCESS = "open_support_access"
    RUN_PLATFORM = "run_platform"
    """Merchants and platform admins themselves: no role has it."""
    SEE_ROLLOUTS = "see_rollouts"
    """New versions of the agent go over everybody's machines: no role has this, nor the four acts below."""
    START_ROLLOUT = "rollout_start"
    PAUSE_ROLLOUT = "rollout_pause"
    RESUME_ROLLOUT = "rollout_resume"
    STOP_ROLLOUT = "rollout_stop"


_LOOK = frozenset({Act.SEE_NOW, Act.SEE_FLEET})
_SEE_BUSINESS = frozenset({Act.SEE_ORDERS, Act.SEE_SUMS, Act.SEE_MONEY, Act.SEE_CHARTS})
_MACHINE = frozenset(
    {Act.RINSE, Act.RESTART, Act.TEST_CUP, Act.CLOSE_AND_OPEN, Act.RESUME, Act.MACHINE_SETTINGS, Act.NOTE_MACHINE}
)
_CARE = frozenset({
    Act.REQUEST_RETURN, Act.KEEP_MONEY, Act.POUR_AGAIN, Act.RESOLVE, Act.NOTE_ORDER, Act.ANSWER_CLAIM, Act.SEE_CLAIMS,
})  # fmt: skip
_ALARMS = frozenset({Act.SEE_INCIDENTS, Act.ACKNOWLEDGE})
_VIEWER = _LOOK | _SEE_BUSINESS | {Act.SEE_INCIDENTS, Act.SEE_SETTINGS, Act.SEE_CLAIMS}
_MANAGER = _VIEWER | _CARE | _MACHINE | _ALARMS | {
    Act.APPROVE_RETURN, Act.SETTLE_DIFFERENCE, Act.EDIT_ALERTS, Act.EDIT_MENU, Act.EDIT_MACHINES,
    Act.ENROL, Act.EXPORT, Act.SEE_JOURNAL, Act.SEE_MONEY_JOURNAL, Act.SEE_OWN_JOURNAL,
}  # fmt: skip

GRANTS: Mapping[Role, frozenset[Act]] = {
    Role.OWNER: _MANAGER
    | {Act.EDIT_MERCHANT, Act.EDIT_CREDENTIALS, Act.MANAGE_USERS, Act.REVOKE_DEVICE, Act.IMPORT_FLEET},
    Role.MANAGER: _MANAGER,
    Role.SUPPORT: _LOOK | _CARE | _ALARMS | {Act.SEE_ORDERS, Act.SEE_SUMS, Act.SEE_OWN_JOURNAL},
    Role.TECHNICIAN: _LOOK | _MACHINE | _ALARMS | {Act.SEE_ORDERS, Act.SEE_OWN_JOURNAL},
    Role.ACCOUNTANT: _SEE_BUSINESS | {Act.SEE_NOW, Act.EXPORT, Act.SEE_MONEY_JOURNAL, Act.SEE_OWN_JOURNAL},
    Role.VIEWER: _VIEWER,
}
"""Role x acts. A support person sees an order's sum, which he needs to return it, but not the merchant's money."""

ANYBODYS = frozenset({Act.OWN_ACCOUNT})
"""Acts of whoever is logged in, at no merchant."""
MONEY_ACTS = frozenset({
    Act.REQUEST_RETURN, Act.KEEP_MONEY, Act.APPROVE_RETURN, Act.POUR_AGAIN, Act.RESOLVE, Act.SETTLE_DIFFERENCE,
})  # fmt: skip
"""A platform admin does them only under an open support access."""
STEP_UP = frozenset(
    {
        Act.EDIT_CREDENTIALS, Act.MANAGE_USERS, Act.ENROL, Act.REVOKE_DEVICE, Act.OPEN_SUPPORT_ACCESS, Act.RUN_PLATFORM,
        Act.APPROVE_RETURN, Act.START_ROLLOUT, Act.RESUME_ROLLOUT,
    }
)  # fmt: skip
"""Acts for which a person shows again who he is, unless he has just done so: keys, people, machines' identities, new
programs for machines, and money above the limit. Where one person alone returns that much, `return_rules.way_of` asks.
A rollout is paused and stopped at once: nobody looks for his phone meanwhile."""
OF_A_MACHINE = _MACHINE | _LOOK | {Act.SEE_ORDERS, Act.SEE_INCIDENTS, Act.ACKNOWLEDGE, Act.SEE_OWN_JOURNAL}
"""What remains of a role that is limited to a list of machines."""
ASKS_SECOND_FACTOR = frozenset({Role.OWNER, Role.MANAGER})
"""A user with one of these roles sets up a second factor before anything else, unless excused."""


def grants(role: Role, *, of_machines: bool = False) -> frozenset[Act]:
    """What this role may do; `of_machines` where it is limited to a list of them."""
    return GRANTS[role] & OF_A_MACHINE if of_machines else GRANTS[role]


def may_grant(own: Iterable[Role], wanted: Role) -> bool:
    """Tell whether a user with these roles at a merchant may give `wanted` there: never more than he has himself."""
    held = frozenset[Act]().union(*(GRANTS[role] for role in own))
    return Act.MANAGE_USERS in held and GRANTS[wanted] <= held
