"""The table of roles and acts as docs/console.md shows it, and who may give what."""

import pytest

from cloud.access import throttle
from cloud.access.acts import GRANTS, Act, Role, grants, may_grant
from cloud.access.person import Held, Person, Scope


def test_a_technician_of_some_machines_sees_no_sum_and_touches_no_money() -> None:
    his = grants(Role.TECHNICIAN, of_machines=True)
    assert {Act.RINSE, Act.TEST_CUP, Act.CLOSE_AND_OPEN, Act.SEE_ORDERS} <= his
    assert not his & {Act.SEE_SUMS, Act.SEE_MONEY, Act.REQUEST_RETURN, Act.EDIT_MENU, Act.MANAGE_USERS}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_only_an_owner_gives_roles(role: Role) -> None:
    assert not any(may_grant([role], wanted) for wanted in Role)
    assert may_grant([Role.OWNER], role)


def test_no_role_runs_the_platform() -> None:
    rollouts = {Act.SEE_ROLLOUTS, Act.START_ROLLOUT, Act.PAUSE_ROLLOUT, Act.RESUME_ROLLOUT, Act.STOP_ROLLOUT}
    assert not (rollouts | {Act.RUN_PLATFORM, Act.OPEN_SUPPORT_ACCESS}) & frozenset[Act]().union(*GRANTS.values())


def test_a_role_reaches_its_merchant_and_its_machines_only() -> None:
    person = Person("u", "e", "n", "s", held=(
        Held("north", Role.OWNER), Held("south", Role.TECHNICIAN, frozenset({"m-1"})),
    ))  # fmt: skip

    assert person.may(Act.REQUEST_RETURN, "north", "any")
    assert not person.may(Act.REQUEST_RETURN, "south", "m-1")
    assert person.may(Act.RINSE, "south", "m-1")
    assert not person.may(Act.RINSE, "south", "m-2")
    assert not person.may(Act.RINSE, "south")
    assert person.scope(Act.SEE_ORDERS) == Scope(frozenset({"north"}), frozenset({("south", "m-1")}))
    assert person.scope(Act.SEE_ORDERS).only("south").covers("north") is False


def test_an_admin_touches_money_under_a_support_access_only() -> None:
    admin = Person("u", "e", "n", "s", is_admin=True)
    assert admin.may(Act.EDIT_MENU, "north")
    assert not admin.may(Act.REQUEST_RETURN, "north")
    helping = Person("u", "e", "n", "s", is_admin=True, supported=frozenset({"north"}))
    assert helping.may(Act.REQUEST_RETURN, "north")
    assert not helping.may(Act.REQUEST_RETURN, "south")


def test_an_account_waits_a_minute_at_most_and_an_address_a_quarter_of_an_hour() -> None:
    assert [throttle.delay("account", n).total_seconds() for n in (4, 5, 6, 7, 99)] == [0, 5, 10, 20, 60]
    assert [throttle.delay("address", n).total_seconds() for n in (19, 20, 99)] == [0, 5, 900]
