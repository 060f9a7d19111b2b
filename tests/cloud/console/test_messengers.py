"""Acts from a messenger: until the person unlinks it, or the second step is taken away.

Regression: nothing ended it. Whoever held a lost phone went on acknowledging alerts in its owner's name.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from cloud.access import users
from cloud.access.models import Membership
from cloud.alerts import people
from tests.cloud.console.building import FOREIGN, OWN, Console, email_of, post
from tests.cloud.console.test_user_command import run

SUPPORT = f"support@{OWN}"
PHONE = "42"


def code_of(console: Console) -> str:
    return console.cloud.database.transact(people.new_code, "person", console.ids[SUPPORT], console.clock.now)


def link(console: Console, code: str) -> bool:
    said = (people.link, "telegram", PHONE, PHONE, code, console.clock.now)
    return console.cloud.database.transact(*said) is not None


def acts_by_phone(console: Console) -> bool:
    return console.cloud.database.transact(people.who_is, "telegram", PHONE) == console.ids[SUPPORT]


def unlinks_it(console: Console) -> None:
    client = console.client(SUPPORT)
    assert "Telegram" in client.get("/console/account").text
    post(client, "/console/account/messengers/unlink")
    assert "Telegram" not in client.get("/console/account").text


def is_reset_at_the_server(console: Console) -> None:
    assert run(console, "reset", email_of(SUPPORT), "--second-factor").exit_code == 0


def is_reset_by_his_owner(console: Console) -> None:
    with console.cloud.database.read() as session:
        his = session.scalar(select(Membership.id).where(Membership.user_id == console.ids[SUPPORT]))
    post(console.client(f"owner@{OWN}"), f"/console/people/{his}/reset", second_factor="1")


def begins_anew(console: Console) -> None:
    """Invited by another merchant once he is nobody's."""
    owner, other = console.client(f"owner@{OWN}"), console.client(f"owner@{FOREIGN}")
    with console.cloud.database.read() as session:
        his = session.scalar(select(Membership.id).where(Membership.user_id == console.ids[SUPPORT]))
    post(owner, f"/console/people/{his}/role", take="1")
    assert acts_by_phone(console)
    post(other, f"/console/people/invite/{FOREIGN}", email=email_of(SUPPORT), role="support")


@pytest.mark.parametrize("happens", [unlinks_it, is_reset_at_the_server, is_reset_by_his_owner, begins_anew])
def test_then_it_is_nobodys(console: Console, happens: Callable[[Console], None]) -> None:
    assert link(console, code_of(console))
    unused = code_of(console)
    happens(console)
    assert not acts_by_phone(console)
    assert not link(console, unused), "nor does a code link it that was given before"


def test_a_new_password_leaves_it_like_every_second_step(console: Console) -> None:
    assert link(console, code_of(console))
    console.cloud.database.transact(users.reset, console.ids[SUPPORT], console.clock.now, with_second_factor=False)
    assert acts_by_phone(console)
