"""Merchants with more machines than a list can hold: each can be chosen, and none is lost by saving a form."""

import re
from html import unescape

import pytest
from playwright.sync_api import expect

from cloud.access import users
from cloud.access.acts import Role
from cloud.access.models import Membership
from cloud.console.machines import reading
from cloud.console.people import readers
from cloud.console.settings import readers as settings_readers
from cloud.console.shell import machines
from cloud.fleet.models import Device, DeviceLive
from tests.chromium import Pages
from tests.cloud.console.building import OWN, Console, form_token, post
from tests.cloud.console.made import poured
from tests.cloud.console.site import complaints
from tests.cloud.console.test_people import member
from tests.cloud.console.test_the_walk import logged_in
from tests.cloud.worlds import DEVICE

OWNER, TECHNICIAN = f"owner@{OWN}", f"technician@{OWN}"
BEYOND = "z-last"


@pytest.fixture
def crowded(console: Console, monkeypatch: pytest.MonkeyPatch) -> Console:
    """More machines than any list holds; the first are others than the technician's."""
    for module in (readers, machines, reading, settings_readers):
        monkeypatch.setattr(module, "MOST", 3)
    more = [Device(device_uuid=f"a-{n}", merchant_id=OWN, payment_scenario="Yookassa") for n in range(4)]
    last = Device(device_uuid=BEYOND, merchant_id=OWN, location="Я", payment_scenario="Yookassa")
    console.cloud.database.transact(lambda tx: tx.session.add_all([*more, last]))
    return console


def given(console: Console) -> list[str]:
    with console.cloud.database.read() as session:
        row = session.query(Membership).filter_by(user_id=console.ids[TECHNICIAN], merchant_id=OWN).one()
        return row.machines or []


def test_a_form_of_a_role_shows_all_that_a_technician_has_and_takes_any_by_name(crowded: Console) -> None:
    crowded.cloud.database.transact(users.give_role, crowded.ids[TECHNICIAN], OWN, Role.TECHNICIAN, [DEVICE, BEYOND])
    client, path = crowded.client(OWNER), f"/console/people/{member(crowded, TECHNICIAN)}"

    checked = re.findall(r'name="machines" value="([^"]+)" checked', client.get(path).text)
    assert checked == [DEVICE, BEYOND]
    client.post(f"{path}/role", data={"csrf_token": form_token(client), "role": "technician", "machines": checked})
    assert given(crowded) == [DEVICE, BEYOND]

    post(client, f"{path}/role", role="technician", machines=BEYOND, more="m-002\r\na-3 a-0")
    assert given(crowded) == ["a-0", "a-3", "m-002", BEYOND]

    shown = post(client, f"{path}/role", role="technician", more="a-0 a-99").location or ""
    assert "a-99: такого автомата нет" in client.get(shown).text
    assert given(crowded) == ["a-0", "a-3", "m-002", BEYOND]


@pytest.mark.parametrize("page", ["/console/charts", "/console/books", "/console/orders"])
def test_any_machine_can_be_asked_for_though_the_list_ends_before_it(crowded: Console, page: str) -> None:
    shown = crowded.client(OWNER).get(f"{page}?machine={BEYOND}").text
    [field] = re.findall(r'<input id="f-machine"[^>]*>', shown)
    assert f'value="{BEYOND}"' in field
    assert len(re.findall(r'<option value="[am]-', shown)) == 3


def test_maintenance_of_any_machine_and_of_none_that_is_not_there(crowded: Console) -> None:
    client = crowded.client(OWNER)
    for device, said in ((BEYOND, BEYOND), ("a-99", "a-99: такого автомата нет")):
        post(client, "/console/alerts/maintenance", device=device, hours="2")
        assert said in client.get("/console/alerts").text


@pytest.mark.parametrize("wanted", [BEYOND, "LAST", "я"])
def test_in_a_fleet_longer_than_its_list_every_machine_is_counted_and_found(crowded: Console, wanted: str) -> None:
    """Regression: only the first machines were looked through, and nothing said so."""
    client = crowded.client(OWNER)
    told = client.get("/console/machines").text
    assert ("7 автоматов" in told, "только первые 3 по номеру" in told, BEYOND in told) == (True, True, False)
    assert "8 автоматов" in crowded.client("admin").get("/console/machines").text
    told = client.get("/console/machines", query_string={"q": wanted}).text
    assert re.findall(r'href="/console/machines/([^"?]+)"', told) == [BEYOND]
    assert ("1 автомат" in told, "только первые" in told) == (True, False)


def test_a_machine_that_moves_between_two_pages_takes_nobody_along(
    crowded: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a page began after a machine's name, wherever it stood by then; gone from the list, it began anew."""
    for name, value in (("MOST", 100), ("PAGE", 3)):
        monkeypatch.setattr(reading, name, value)
    client = crowded.client(OWNER)

    def page(address: str) -> tuple[list[str], str]:
        told = client.get(address).text
        further = re.search(r'rel="next" href="([^"]+)"', told)
        return re.findall(r'href="/console/machines/([^"?]+)"', told), unescape(further[1]) if further else ""

    first, further = page("/console/machines")
    assert first == ["a-0", "a-1", "a-2"]
    sells = DeviceLive(device_uuid="a-2", online=True, session_id="s1", seen_at=crowded.world.now)
    crowded.cloud.database.transact(lambda tx: tx.session.add(sells))
    second, further = page(further)
    assert second[0] == "a-3"
    rest, _ = page(further)
    assert sorted(second + rest) == ["a-2", "a-3", DEVICE, "m-002", BEYOND]


@pytest.mark.parametrize("wanted", [BEYOND, "LAST", "я"])
def test_in_settings_any_machine_is_found_though_the_list_ends_before_it(crowded: Console, wanted: str) -> None:
    client, edited = crowded.client(OWNER), f'href="/console/settings/machine/{BEYOND}'
    told = client.get(f"/console/settings/{OWN}").text
    assert ("Первые 3 по месту" in told, 'name="q"' in told, edited in told) == (True, True, False)
    told = client.get(f"/console/settings/{OWN}", query_string={"q": wanted}).text
    assert (told.count("/console/settings/machine/"), edited in told) == (1, True)
    assert edited in client.get(f"/console/machines/{BEYOND}").text
    assert "/console/settings/machine/" not in crowded.client(TECHNICIAN).get(f"/console/machines/{DEVICE}").text


def test_of_more_found_than_the_list_of_settings_holds_the_first_by_place_are_shown(crowded: Console) -> None:
    """Regression: the first by number were taken, and the search was told to find the rest of what it had found."""
    halls = [
        Device(device_uuid=f"b-{n}", merchant_id=OWN, location=f"Hall {9 - n}", payment_scenario="Yookassa")
        for n in range(5)
    ]
    crowded.cloud.database.transact(lambda tx: tx.session.add_all(halls))
    told = crowded.client(OWNER).get(f"/console/settings/{OWN}", query_string={"q": "hall"}).text
    assert re.findall(r'href="/console/settings/machine/([^"?]+)"', told) == ["b-4", "b-3", "b-2"]
    assert ("Первые 3 найденных по месту" in told, "найдёт поиск" in told) == (True, False)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), [(360, "ru"), (1280, "en")])
def test_a_machine_is_found_by_typing(
    kept_pages: Pages, crowded: Console, console_site: str, width: int, language: str
) -> None:
    poured(crowded.world)
    page = logged_in(kept_pages, console_site, crowded, OWNER, width, language)
    page.goto(f"{console_site}/console/orders")
    expect(page.locator(".orders a.item")).to_have_count(1)
    for name, count in ((BEYOND, 0), (DEVICE, 1)):
        page.fill("#f-machine", name)
        page.press("#f-machine", "Enter")
        expect(page).to_have_url(re.compile(f"machine={name}"))
        expect(page.locator(".orders a.item")).to_have_count(count)
    assert complaints(page) == []
    page.goto(f"{console_site}/console/people/{member(crowded, TECHNICIAN)}")
    assert complaints(page) == []
