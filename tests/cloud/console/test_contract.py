"""Until when a merchant's contract with the platform runs: only the platform's admin changes it in the console.

Regression: its owner prolonged it himself, in the form, by a file, and by taking back what the admin had done.
"""

from datetime import date

import pytest

from cloud.fleet.models import Merchant
from tests.cloud.console.building import OWN, Console, post
from tests.cloud.console.test_undo import last, undo

OWNER, ADMIN = f"owner@{OWN}", "admin"
PAGE, FILE, IMPORT = (f"/console/settings/{OWN}{path}" for path in ("", "/fleet.toml", "/import"))
OVER, LONGER = date(2020, 1, 1), date(2099, 12, 31)


@pytest.fixture(autouse=True)
def _over(console: Console) -> None:
    post(console.client(ADMIN), PAGE, valid_until=str(OVER))


def stored(console: Console) -> tuple[str, date | None]:
    with console.cloud.database.read() as session:
        merchant = session.get_one(Merchant, OWN)
        return merchant.name, merchant.valid_until


def test_its_owner_reads_it_and_saves_the_rest(console: Console) -> None:
    shown = console.client(OWNER).get(PAGE).text
    assert f"{OVER:%d.%m.%Y}" in shown
    assert "Меняет только платформа" in shown
    assert 'name="valid_until"' not in shown
    post(console.client(OWNER), PAGE, name="Север", valid_until=str(LONGER))
    assert stored(console) == ("Север", OVER)


def test_the_admin_prolongs_it(console: Console) -> None:
    assert f'name="valid_until" value="{OVER}"' in console.client(ADMIN).get(PAGE).text
    post(console.client(ADMIN), PAGE, name="Север", valid_until=str(LONGER))
    assert stored(console) == ("Север", LONGER)


@pytest.mark.parametrize("line", [f"valid_until = {LONGER}", 'valid_until = ""'])
@pytest.mark.parametrize("go", [{}, {"go": "1"}])
def test_an_owners_file_does_not(console: Console, line: str, go: dict[str, str]) -> None:
    client = console.client(OWNER)
    file = client.get(FILE).text.replace('name = "ООО Север"', 'name = "Север"')
    longer = file.replace(f"valid_until = {OVER}", line)
    assert longer != file
    told = post(client, IMPORT, text=longer, by_hand="take-file", **go).text
    assert f"only the platform changes it, and it is {OVER}" in told
    assert stored(console) == ("ООО Север", OVER)
    post(client, IMPORT, text=file, go="1")
    assert stored(console) == ("Север", OVER), "what the file says as it is hinders nothing"
    post(console.client(ADMIN), IMPORT, text=longer, by_hand="take-file", go="1")
    assert stored(console)[1] != OVER


@pytest.mark.parametrize("way", ["form", "file"])
def test_what_the_admin_did_only_an_admin_takes_back(console: Console, way: str) -> None:
    admin = console.client(ADMIN)
    if way == "form":
        post(admin, PAGE, valid_until=str(LONGER))
    else:
        text = admin.get(FILE).text.replace(f"valid_until = {OVER}", f"valid_until = {LONGER}")
        post(admin, IMPORT, text=text, by_hand="take-file", go="1")
    assert stored(console)[1] == LONGER
    entry = last(console)
    assert "Срок договора меняет только платформа" in undo(console, entry)
    assert (stored(console)[1], last(console).id) == (LONGER, entry.id)
    undo(console, entry, ADMIN)
    assert stored(console)[1] == OVER
