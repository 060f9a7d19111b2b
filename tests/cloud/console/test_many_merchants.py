"""More merchants than a menu holds: the chosen one is in it, nobody is left out, equal names are told apart."""

import re
from html import unescape

import pytest

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
