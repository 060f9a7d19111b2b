"""What happened at a machine is told in its time, on its page and in every list, and is found by it."""

import html
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from cloud.alerts.kinds import Kind
from cloud.fleet.models import Device
from cloud.orders.sales_days import roll_up
from cloud.orders.states import Status
from tests.cloud.console.building import FOREIGN, OWN, Console
from tests.cloud.console.made import a_claim, poured
from tests.cloud.console.test_alerts import an_alert
from tests.cloud.worlds import DEVICE

OWNER = f"owner@{OWN}"
FAR = "Asia/Vladivostok"
PATH = "/console/orders"


@pytest.fixture
def far(console: Console) -> Console:
    """The merchant's machine stands seven hours from it, where it is tomorrow already."""
    far_away = update(Device).where(Device.device_uuid == DEVICE).values(zone=FAR)
    console.world.database.transact(lambda tx: tx.session.execute(far_away))
    today = console.clock.now
    console.clock.now = datetime(today.year, today.month, today.day, 15, 0, tzinfo=UTC)
    return console


def page(console: Console, path: str) -> str:
    shown = console.client(OWNER).get(path, headers={"Accept-Language": "ru"})
    assert shown.status_code == 200
    return html.unescape(shown.text)


def there(console: Console) -> str:
    return f"{console.clock.now.astimezone(ZoneInfo(FAR)):%H:%M}"


def test_an_order_has_one_time_in_its_list_and_on_its_page(far: Console) -> None:
    order_id = poured(far.world)
    assert re.search(rf'class="when">{there(far)}\u00a0UTC\+10<', page(far, PATH))
    assert re.search(rf"<title>[^<]* · {there(far)}\b", page(far, f"{PATH}/{order_id}"))


def test_a_claim_tells_the_time_of_its_order_as_the_orders_page_does(far: Console) -> None:
    a_claim(far)
    shown = page(far, "/console/claims")
    assert f"налил напиток в {there(far)}" in shown
    assert f"{there(far)}\u00a0UTC+10" in shown


def test_an_alert_has_one_time_in_its_lists_and_on_its_page(far: Console) -> None:
    address = an_alert(far, Kind.OFFLINE)
    said = re.search(r"с (\d\d:\d\d)", page(far, address))
    assert said is not None
    for path in ("/console/alerts", "/console/alerts/now"):
        assert f"{said[1]}\u00a0UTC+10" in page(far, path), path


@pytest.mark.parametrize("chip", ["all", "waits"])
def test_the_time_a_buyer_saw_finds_his_order(far: Console, chip: str) -> None:
    order_id = poured(far.world) if chip == "all" else far.world.bring_to(Status.MANUAL_MAKE)
    for words in (there(far), "сегодня"):
        assert order_id in page(far, f"{PATH}?show={chip}&q={words}"), words
    assert order_id not in page(far, f"{PATH}?show={chip}&q=вчера")


def test_books_and_charts_end_with_the_latest_day_at_any_machine(far: Console) -> None:
    tomorrow: date = far.clock.now.astimezone(ZoneInfo(FAR)).date()
    for path in ("/console/books", "/console/charts"):
        assert tomorrow.isoformat() in page(far, path), path


def test_what_a_machine_sold_keeps_its_time_when_it_goes_to_another_merchant(far: Console) -> None:
    """Regression: its time was nobody's any more; no day found the order, and the books ended a day earlier."""
    order_id, tomorrow = poured(far.world), far.clock.now.astimezone(ZoneInfo(FAR)).date()
    far.world.database.transact(roll_up, far.clock.now)
    sold = update(Device).where(Device.device_uuid == DEVICE).values(merchant_id=FOREIGN)
    far.world.database.transact(lambda tx: tx.session.execute(sold))
    assert order_id in page(far, f"{PATH}?show=all&q=сегодня")
    for path in ("/console/books", "/console/charts"):
        assert tomorrow.isoformat() in page(far, path), path
