"""Every route of every section, asked by every role, by strangers' people, the platform's admin and nobody.

Generated from the sections: a new route is walked without a test of its own. It needs a sample (`samples.py`) where
it is about a kind of thing that no other route is about.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cloud.access.acts import ANYBODYS, GRANTS, MONEY_ACTS, OF_A_MACHINE, Act, Role
from cloud.console.sections import SECTIONS
from cloud.console.shell.section import Route, Section
from tests.cloud.console.building import FOREIGN, OWN, Console, a_console, form_token
from tests.cloud.console.samples import OTHERS, SAMPLES
from tests.cloud.worlds import a_world

ROUTES = [(section, route) for section in SECTIONS for route in section.routes]
REFUSED = {403, 404}
IMPORTANT = {
    Act.EDIT_CREDENTIALS, Act.MANAGE_USERS, Act.ENROL, Act.REVOKE_DEVICE, Act.OPEN_SUPPORT_ACCESS, Act.APPROVE_RETURN,
    Act.RUN_PLATFORM, Act.START_ROLLOUT, Act.RESUME_ROLLOUT,
}  # fmt: skip
OF_NORTH = ("m-001", "m-002", "ООО Север")
"""No stranger's page holds these."""
each_route = pytest.mark.parametrize(("section", "route"), ROUTES, ids=[f"{m.name}.{r.name}" for m, r in ROUTES])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder: Path = tmp_path_factory.mktemp("walk")
    with a_world(f"sqlite:///{folder}/coffee.db") as world, a_console(world) as console:
        yield console


@cache
def known(console: Console, who: str) -> tuple[FlaskClient, str]:
    """His browser, and the token of its forms."""
    client = console.client(who)
    return client, form_token(client)


def path_of(console: Console, section: Section, route: Route) -> str:
    """Its address, for a fresh sample of what it is about."""
    named: dict[str, Any] = {route.of.argument: SAMPLES[route.of.name](console)} if route.of else {}
    named |= {name: OTHERS[name] for name in re.findall(r"<(?:\w+:)?(\w+)>", route.path) if name not in named}
    with console.app.test_request_context("/console"):
        return console.app.url_for(f"console.{section.name}_{route.name}", **named)


def ask(console: Console, section: Section, route: Route, who: str) -> tuple[int, str, str]:
    """The answer's status, text and where it leads; of a fresh sample, since acts may use it up."""
    path = path_of(console, section, route)
    client, token = known(console, who)
    answer = client.get(path) if route.method == "GET" else client.post(path, data={"csrf_token": token})
    shown = answer.get_data(as_text=True).replace(path, "")  # a page may lead back to what was asked for
    return answer.status_code, shown, answer.headers.get("Location", "")


def has(role: Role, route: Route) -> bool:
    granted = GRANTS[role] & OF_A_MACHINE if role is Role.TECHNICIAN else GRANTS[role]
    return route.act in granted | ANYBODYS


@each_route
def test_own_people_are_let_in_by_their_role_and_only_by_it(walked: Console, section: Section, route: Route) -> None:
    for role in Role:
        status, _, where = ask(walked, section, route, f"{role}@{OWN}")
        if has(role, route):
            is_missing = status == 404 and route.of is None  # a form that names no such thing
            assert status < 400 or status in {400, 409, 422} or is_missing, f"{role}: {status}"
            assert "/login" not in where, role
        else:
            assert status in REFUSED, f"{role}: {status}"


@each_route
def test_another_merchants_people_reach_and_read_nothing_of_this_one(
    walked: Console, section: Section, route: Route
) -> None:
    for role in Role:
        status, text, _ = ask(walked, section, route, f"{role}@{FOREIGN}")
        if route.of is not None:
            assert status in REFUSED, f"{role}: {status}"
        told = re.sub(r'name="next" value="[^"]*"', "", text)  # the address he has asked for himself
        assert not [word for word in OF_NORTH if word in told], role


@each_route
def test_an_admin_touches_no_money_without_a_support_access(walked: Console, section: Section, route: Route) -> None:
    status, _, _ = ask(walked, section, route, "admin")

    assert (status in REFUSED) if route.act in MONEY_ACTS else (status not in {403, 500, 503})


@each_route
def test_a_label_finds_its_field_and_a_form_that_asks_stays_with_the_merchant(
    walked: Console, section: Section, route: Route
) -> None:
    """Regressions: each drink of a menu had the first one's ids; the journal's filter led to everybody's journal."""
    if route.method != "GET":
        return
    for who in (f"owner@{OWN}", "admin"):
        client, _ = known(walked, who)
        answer = client.get(path_of(walked, section, route), query_string={"merchant": OWN})
        if answer.mimetype != "text/html" or answer.status_code != 200:
            continue
        ids = re.findall(r'\sid="([^"]+)"', answer.text)
        assert [id for id in set(ids) if ids.count(id) > 1] == [], who
        for form in re.findall(r'<form[^>]*method="get".*?</form>', answer.text, re.DOTALL):
            assert 'name="merchant"' in form, who


@each_route
def test_nobody_is_sent_to_the_login(walked: Console, section: Section, route: Route) -> None:
    status, _, where = ask(walked, section, route, "")

    assert status == 303
    assert where.startswith("/console/login")


@each_route
def test_a_form_of_another_site_or_without_its_token_is_refused(
    walked: Console, section: Section, route: Route
) -> None:
    if route.method == "GET":
        return
    path = path_of(walked, section, route)
    client = walked.client(f"owner@{OWN}")

    assert client.post(path).status_code == 400
    assert client.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("who", [f"owner@{OWN}", "admin"])
def test_before_keys_people_identities_and_money_above_the_limit_one_shows_who_one_is(
    walked: Console, who: str
) -> None:
    """Each form whose act asks for it, however it is filled in; and these are the acts, whatever the table says."""
    client = walked.client(who, confirmed=False)
    token = form_token(client)
    asking = [(section, route) for section, route in ROUTES if route.method == "POST" and route.act in IMPORTANT]
    assert {route.act for _, route in asking} >= IMPORTANT - {Act.RUN_PLATFORM}
    for section, route in asking:
        if who != "admin" and not has(Role.OWNER, route):
            continue
        if who == "admin" and route.act in MONEY_ACTS:
            continue
        answer = client.post(path_of(walked, section, route), data={"csrf_token": token})
        where = answer.headers.get("Location", "")
        assert (answer.status_code, where.partition("?")[0]) == (303, "/console/confirm"), route.path


def test_the_walk_knows_every_route_there_is(walked: Console) -> None:
    known = {f"console.{section.name}_{route.name}" for section, route in ROUTES}
    open_to_all = {
        "login",
        "second_step",
        "confirm",
        "welcome",
        "logout",
        "taste",
        "home",
        "nothing",
        "passkey",
        "sso",
        "sso_callback",
    }
    there = {rule.endpoint for rule in walked.app.url_map.iter_rules() if rule.endpoint.startswith("console.")}

    assert there - known == {"console.static"} | {f"console.shell_{name}" for name in open_to_all}


def test_a_browser_keeps_only_the_files_that_their_addresses_name(walked: Console) -> None:
    browser = walked.client()
    named = re.search(r'href="(/console/static/console\.css\?v=\w+)"', browser.get("/console/login").text)
    assert named is not None

    with browser.get(named[1]) as ours, browser.get(named[1] + "0") as of_others:
        assert (ours.status_code, of_others.status_code) == (200, 200)
        assert "immutable" in ours.headers["Cache-Control"]
        assert "immutable" not in of_others.headers["Cache-Control"]
