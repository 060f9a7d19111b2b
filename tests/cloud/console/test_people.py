"""Inviting, changing and taking roles, ending somebody's sessions; support access; the journal takes an act back."""

import re

import pytest

from cloud.access import users
from cloud.access.acts import Role
from cloud.access.models import JournalRow, Membership, User
from cloud.console.people.texts_ru import RU
from cloud.database.transaction import Transaction
from tests.cloud.console.building import FOREIGN, OWN, Console, email_of, post

OWNER, MANAGER, VIEWER = f"owner@{OWN}", f"manager@{OWN}", f"viewer@{OWN}"


def role_of(console: Console, who: str, merchant: str = OWN) -> str | None:
    with console.cloud.database.read() as session:
        row = session.query(Membership).filter_by(user_id=console.ids[who], merchant_id=merchant).one_or_none()
    return row.role if row else None


def member(console: Console, who: str, merchant: str = OWN) -> int:
    with console.cloud.database.read() as session:
        return session.query(Membership).filter_by(user_id=console.ids[who], merchant_id=merchant).one().id


def entries(console: Console) -> list[JournalRow]:
    with console.cloud.database.read() as session:
        return session.query(JournalRow).order_by(JournalRow.id).all()


def test_who_is_invited_gets_a_link_and_the_role(console: Console) -> None:
    shown = post(console.client(OWNER), f"/console/people/invite/{OWN}", email="New@example.com", role="support").text
    [link] = re.findall(r"(/console/welcome/[\w-]+)", shown)

    assert post(console.client(), link, password="a good password").status_code == 303
    [entry] = [one for one in entries(console) if one.act == "manage_users"]
    assert (entry.before, entry.after) == ({"role": None, "machines": None}, {"role": "support", "machines": None})


def test_nobody_is_given_a_role_at_a_merchant_by_way_of_anothers_account(console: Console) -> None:
    """Whoever made an account holds its first link; another merchant must not trust it."""
    theirs = email_of(f"viewer@{FOREIGN}")
    answer = post(console.client(OWNER), f"/console/people/invite/{OWN}", email=theirs, role="owner")

    assert "welcome" not in answer.text
    assert role_of(console, f"viewer@{FOREIGN}") is None


def test_nobody_changes_his_own_role_or_touches_an_admin(console: Console) -> None:
    post(console.client(OWNER), f"/console/people/{member(console, OWNER)}/role", role="viewer")
    assert role_of(console, OWNER) == "owner"
    answer = post(console.client(OWNER), f"/console/people/invite/{OWN}", email=email_of("admin"), role="viewer")
    assert answer.status_code == 303
    assert role_of(console, "admin") is None


def test_a_role_that_is_taken_counts_from_the_next_request_on(console: Console) -> None:
    his = console.client(MANAGER)
    assert his.get("/console/journal").status_code == 200

    post(console.client(OWNER), f"/console/people/{member(console, MANAGER)}/role", take="1")

    assert his.get("/console/journal").status_code == 403


@pytest.mark.parametrize("elsewhere", ["also at another merchant", "a platform admin"])
def test_an_owner_removes_who_is_more_than_he_may_manage(console: Console, elsewhere: str) -> None:
    """Regression: the page hid the button with those for the whole account, though it is about this merchant alone."""

    def make(tx: Transaction) -> None:
        if elsewhere == "a platform admin":
            tx.session.get_one(User, console.ids[VIEWER]).is_admin = True
        else:
            users.give_role(tx, console.ids[VIEWER], FOREIGN, Role.VIEWER)

    console.cloud.database.transact(make)
    page = console.client(OWNER).get(f"/console/people/{member(console, VIEWER)}").text

    assert [act for act in ("take", "disable", "reset") if f'data-opens="{act}"' in page] == ["take"]
    taken_out(console, VIEWER)
    assert role_of(console, VIEWER) is None


def test_nobody_is_offered_to_remove_himself(console: Console) -> None:
    page = console.client(OWNER).get(f"/console/people/{member(console, OWNER)}").text
    assert 'data-opens="take"' not in page


def test_an_owner_logs_somebody_out_and_disables_him(console: Console) -> None:
    his, number = console.client(VIEWER), member(console, VIEWER)
    post(console.client(OWNER), f"/console/people/{number}/log-out")
    assert his.get("/console/account").status_code == 303
    his = console.client(VIEWER)
    post(console.client(OWNER), f"/console/people/{number}/disable")
    assert his.get("/console/account").status_code == 303


def test_an_act_on_people_asks_first_who_one_is(console: Console) -> None:
    client = console.client(OWNER, confirmed=False)
    answer = post(client, f"/console/people/{member(console, VIEWER)}/role", role="support")

    assert answer.headers["Location"].startswith("/console/confirm")
    assert role_of(console, VIEWER) == "viewer"


def test_an_act_is_taken_back_once_and_not_after_somebody_elses(console: Console) -> None:
    client, number = console.client(OWNER), member(console, VIEWER)
    post(client, f"/console/people/{number}/role", role="support")
    first = entries(console)[-1].id
    post(client, f"/console/journal/{first}/undo", why="a mistake")
    assert role_of(console, VIEWER) == "viewer"
    assert entries(console)[-1].undoes == first

    post(client, f"/console/people/{number}/role", role="support")
    second = entries(console)[-1].id
    console.cloud.database.transact(users.give_role, console.ids[VIEWER], OWN, Role.ACCOUNTANT)
    post(client, f"/console/journal/{second}/undo")

    assert role_of(console, VIEWER) == "accountant"


def test_a_support_access_is_seen_by_the_merchants_people_and_ended_by_them(console: Console) -> None:
    admin = console.client("admin")
    assert post(admin, "/console/support/open", merchant_id=OWN, why="ticket 7").status_code == 303
    assert "ticket 7" in console.client(VIEWER).get("/console/now").text
    assert "ticket 7" not in console.client(f"viewer@{FOREIGN}").get("/console/now").text
    assert console.person("admin").supported == {OWN}

    post(console.client(OWNER), f"/console/support/{OWN}/end", user_id=console.ids["admin"])

    assert console.person("admin").supported == frozenset()


def test_a_support_access_ends_after_its_hour(console: Console) -> None:
    post(console.client("admin"), "/console/support/open", merchant_id=OWN, why="ticket 7")
    console.clock.advance(3601)
    assert console.person("admin").supported == frozenset()


def taken_out(console: Console, who: str) -> None:
    """Nobody's any more."""
    merchant = who.partition("@")[2]
    post(console.client(f"owner@{merchant}"), f"/console/people/{member(console, who, merchant)}/role", take="1")


def invited_by(console: Console, who: str, merchant: str, email: str) -> str:
    """The link that is shown; "" for none."""
    shown = post(console.client(who), f"/console/people/invite/{merchant}", email=email, role="viewer").text
    return "".join(re.findall(r"(/console/welcome/[\w-]+)", shown))


def test_who_was_taken_out_is_invited_back(console: Console) -> None:
    post(console.client(OWNER), f"/console/people/{member(console, VIEWER)}/role", take="1")

    link = invited_by(console, OWNER, OWN, email_of(VIEWER))

    assert role_of(console, VIEWER) == "viewer"
    assert post(console.client(), link, password="a good password").status_code == 303


def test_whoever_had_an_account_before_has_nothing_at_who_invites_it(console_on_each: Console) -> None:
    """Its first merchant may have kept the link, and with it the password, the second factor and a session."""
    console, theirs = console_on_each, f"viewer@{FOREIGN}"
    console.cloud.database.transact(users.set_password, console.ids[theirs], "known to them", console.clock.now)
    console.cloud.database.transact(lambda tx: setattr(tx.session.get(User, console.ids[theirs]), "totp", "theirs"))
    kept = console.client(theirs)
    taken_out(console, theirs)

    assert invited_by(console, OWNER, OWN, email_of(theirs))

    assert kept.get("/console/account").status_code == 303
    with console.cloud.database.read() as session:
        user = session.get_one(User, console.ids[theirs])
    assert (user.password, user.totp, user.asks_second_factor) == ("", "", True)
    assert role_of(console, theirs) == "viewer"


def test_an_account_that_has_had_no_role_yet_is_its_makers(console: Console) -> None:
    """Regression: any owner took an account that the shell had made, and with it the role it was given later."""
    user_id = console.add_user("ann", None, None)
    console.cloud.database.transact(users.set_password, user_id, "hers", console.clock.now)

    assert not invited_by(console, OWNER, OWN, email_of("ann"))
    assert role_of(console, "ann") is None

    invited_by(console, "admin", OWN, email_of("ann"))
    assert role_of(console, "ann") == "viewer"
    with console.cloud.database.read() as session:
        assert session.get_one(User, user_id).password == "hers"


def test_an_account_another_merchant_has_taken_in_since_comes_back_by_no_way(console: Console) -> None:
    """The inviter holds the link: neither an invitation nor an undo brings the inviter to its first merchant."""
    post(console.client(OWNER), f"/console/people/{member(console, VIEWER)}/role", take="1")
    taking = entries(console)[-1].id
    assert invited_by(console, f"owner@{FOREIGN}", FOREIGN, email_of(VIEWER))

    assert not invited_by(console, OWNER, OWN, email_of(VIEWER))
    post(console.client(OWNER), f"/console/journal/{taking}/undo")
    console.cloud.database.transact(users.take_role, console.ids[VIEWER], FOREIGN)
    post(console.client(OWNER), f"/console/journal/{taking}/undo")

    assert role_of(console, VIEWER) is None


def test_an_account_that_was_disabled_stays_so_and_the_page_says_it(console: Console) -> None:
    """Regression: the page said only that the role was saved, and there was no link and no way in."""
    post(console.client(OWNER), f"/console/people/{member(console, VIEWER)}/disable")
    taken_out(console, VIEWER)

    client = console.client(OWNER)
    post(client, f"/console/people/invite/{OWN}", email=email_of(VIEWER), role="viewer")

    assert RU["people.given_disabled"] in client.get("/console/people").text
    assert role_of(console, VIEWER) == "viewer"
    with console.cloud.database.read() as session:
        assert session.get_one(User, console.ids[VIEWER]).disabled_at is not None
    number = member(console, VIEWER)
    post(client, f"/console/people/{number}/disable", enable="1")
    [link] = re.findall(r"(/console/welcome/[\w-]+)", post(client, f"/console/people/{number}/reset").text)
    assert post(console.client(), link, password="a good password").status_code == 303
