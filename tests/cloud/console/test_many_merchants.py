"""More merchants than a menu holds: the chosen one is in it, nobody is left out, equal names are told apart."""

import re
from html import unescape

import pytest
from sqlalchemy import select

from cloud.access.acts import Role
from cloud.access.models import Membership
from cloud.console.people import readers
from cloud.console.shell import merchants
from cloud.database.transaction import Transaction
from cloud.fleet.models import Merchant
from tests.cloud.console.building import FOREIGN, OWN, Console

LAST = "z-last"
OPTION = re.compile(r'<option value="([^"]*)"( selected)?>([^<]*)<')


@pytest.fixture
def crowded(console: Console, monkeypatch: pytest.MonkeyPatch) -> Console:
    """More merchants than a list holds; the last by name has nothing yet."""
    monkeypatch.setattr(merchants, "MOST", 2)
    add(console, Merchant(id="z", name="Эхо"), Merchant(id=LAST, name="Я, последние"))
    return console


def add(console: Console, *things: object) -> None:
    def work(tx: Transaction) -> None:
        tx.session.add_all(things)

    console.cloud.database.transact(work)


def menu(console: Console, address: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """What the header's menu says of its length, and its options."""
    shown = console.client("admin").get(address, headers={"Accept-Language": "ru"}).text
    drawn = unescape(shown).partition('class="whose"')[2].partition("</form>")[0]
    return re.findall(r'<optgroup label="([^"]+)"', drawn), OPTION.findall(drawn)[1:]


def test_the_chosen_merchant_is_in_the_menu_wherever_its_name_stands(crowded: Console) -> None:
    """Regression: a page narrowed to the 201st by name said that it was of all."""
    first = [(OWN, "", "ООО Север"), (FOREIGN, "", "ООО Юг")]
    assert menu(crowded, "/console/now") == (["2 из 4, по названию"], first)
    chosen = [*first, (LAST, " selected", "Я, последние")]
    assert menu(crowded, f"/console/now?merchant={LAST}") == (["3 из 4, по названию"], chosen)


def pages(console: Console, address: str, who: str = "admin") -> list[str]:
    """A list's pages, one after the other, until it ends."""
    client, following = console.client(who), [address]
    found: list[str] = []
    while following and len(found) < 99:
        found.append(unescape(client.get(following[0], headers={"Accept-Language": "ru"}).text))
        following = re.findall(r'rel="next" href="([^"]+)"', found[-1])
    return found


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_everybody_is_listed_once_and_nobody_is_denied(
    console_on_each: Console, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Regression: of 600 people 500 were shown, and the merchants after them had "nobody yet"."""
    monkeypatch.setattr(readers, "PAGE", size)
    add(console_on_each, Merchant(id="empty", name="ООО Север"), Merchant(id=LAST, name="Я, последние"))
    console_on_each.add_user("last", LAST, Role.OWNER)
    shown = pages(console_on_each, "/console/people")
    with console_on_each.cloud.database.read() as session:
        everybody = set(session.scalars(select(Membership.id)))
    listed = [int(number) for page in shown for number in re.findall(r'href="/console/people/(\d+)"', page)]
    assert (len(listed), set(listed)) == (len(everybody), everybody)
    denied = [page.count("Пока никого") for page in shown]
    assert (sum(denied), len(shown)) == (1, -(-(len(everybody) + 1) // size))
    assert LAST in shown[-1]
    alone = pages(console_on_each, "/console/people", f"owner@{OWN}")
    assert sum(len(re.findall(r'href="/console/people/\d+"', page)) for page in alone) == len(Role)
    assert ["/console/people/invite/" in page for page in alone] == [True] * len(alone)


def test_a_page_of_people_goes_on_though_the_one_it_began_after_is_gone(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PAGE", 1)
    for after in (f"999999.{FOREIGN}", f"nobody.{FOREIGN}", f".{FOREIGN}"):
        shown = console.client("admin").get("/console/people", query_string={"after": after}).text
        assert f"/console/people/invite/{FOREIGN}" in shown
    for after in ("1.nowhere", "nonsense"):
        shown = console.client("admin").get("/console/people", query_string={"after": after}).text
        assert f"/console/people/invite/{OWN}" in shown


def test_merchants_of_one_name_are_told_apart(console: Console) -> None:
    """Regression: an admin chose between two lines that read the same."""
    add(console, Merchant(id="twin", name="ООО Юг"))
    options = [(OWN, "", "ООО Север"), (FOREIGN, "", f"ООО Юг · {FOREIGN}"), ("twin", "", "ООО Юг · twin")]
    assert menu(console, "/console/now") == ([], options)
    for page in ("/console/alerts/rules", "/console/alerts/channels", "/console/people", "/console/support"):
        shown = unescape(console.client("admin").get(page).text)
        shown = shown.partition('<main id="main"')[2]
        assert re.findall(r">(ООО[^<]+)<", shown) == [words for _, _, words in options], page
    assert "ООО Юг · " not in console.client(f"owner@{FOREIGN}").get("/console/people").text
