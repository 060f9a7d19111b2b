"""Pages of machines: the worst first and why, what a person can do, and that the buyer hears of it."""

import pytest
from sqlalchemy import select

from cloud.access.models import JournalRow
from cloud.access.person import EVERYTHING
from cloud.console.machines.acts import read_settings
from cloud.console.machines.one_machine import read_machine
from cloud.console.machines.reading import read_fleet
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, Wanted
from cloud.database.transaction import Transaction
from cloud.fleet import closing, update_lock
from cloud.fleet.models import Device, DeviceLive
from cloud.fleet.presence_history import note
from cloud.orders.scanning import NotForSale
from protocol.messages import Answer
from protocol.reasons import AnswerStatus, Result
from tests.cloud.console.building import Console, form_token, post
from tests.cloud.worlds import DEVICE, OTHER_DEVICE

AT = f"/console/machines/{DEVICE}"


def page(console: Console, path: str, who: str = "owner@north") -> str:
    answer = console.client(who).get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def live(console: Console, device: str, *, online: bool, **state: object) -> None:
    def work(tx: Transaction) -> None:
        row = tx.session.get_one(DeviceLive, device)
        row.online, row.seen_at, row.state = online, console.clock.now, state
        note(tx, [row], console.clock.now)

    console.world.database.transact(work)


def test_the_worst_stand_first_with_why_and_since_when(console: Console) -> None:
    live(console, DEVICE, online=True, selling=True)
    live(console, OTHER_DEVICE, online=True, faults=[{"code": "no_water", "level": "block"}])
    console.clock.advance(3600)
    with console.world.database.read() as session:
        fleet = read_fleet(session, EVERYTHING, "", "", "", console.clock.now)
    first, *_, last = fleet.cards
    assert (first.device_uuid, first.standing.state, first.standing.why) == (OTHER_DEVICE, "faulted", "no_water")
    assert (last.device_uuid, last.standing.state) == (DEVICE, "selling")
    shown = page(console, "/console/machines")
    assert "В автомате закончилась вода" in shown
    assert "1 час" in shown
    assert page(console, "/console/machines?state=selling").count('class="item') == 1


def test_searched_by_place_whatever_the_letters(console: Console) -> None:
    def place(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).location = "Невский проспект"

    console.world.database.transact(place)
    assert DEVICE in page(console, "/console/machines?q=невск")
    assert "Ничего не нашлось" in page(console, "/console/machines?q=Литейный")


def test_closed_from_the_page_and_the_buyer_is_told(console: Console) -> None:
    client = console.client("technician@north")
    assert post(client, f"{AT}/close", drink="latte", why="нет крышек").status_code == 303
    console.world.opens_again = False
    with pytest.raises(NotForSale, match="drink_closed"):
        console.world.scan()
    with console.world.database.read() as session:
        [row] = session.scalars(select(JournalRow).where(JournalRow.act == "close_and_open"))
        told = {"closed": True, "closed_by": "Technician@North", "closed_why": "нет крышек"}
        assert (row.why, row.kind, row.object_id, row.after) == ("нет крышек", "drink", f"{DEVICE}/latte", told)
    assert "нет крышек" in page(console, AT)
    post(client, f"{AT}/open", drink="latte")
    console.world.scan()


def test_jobs_wait_for_orders_and_say_so(console: Console) -> None:
    order_id = console.world.pay()
    client = console.client("owner@north")
    answer = client.post(f"{AT}/rinse", data={"csrf_token": form_token(client)}, follow_redirects=True)
    assert "Сейчас готовится заказ" in answer.get_data(as_text=True)
    console.world.publish(order_id)
    console.world.report(order_id, Result.DONE)
    post(client, f"{AT}/rinse", program="clean")
    post(client, f"{AT}/test-cup", drink="latte:1")  # one at a time
    with console.world.database.read() as session:
        [job] = session.scalars(select(DeviceJob))
    assert (job.kind, job.wanted, job.asked_by) == ("rinse", {"program": "clean"}, "Owner@North")
    assert "ждёт отправки" in page(console, f"{AT}/now")


def test_the_agents_version_and_what_became_of_its_last_update(console: Console) -> None:
    live(console, DEVICE, online=True, selling=True)

    def ask(tx: Transaction) -> None:
        tx.session.get_one(DeviceLive, DEVICE).agent_version = "0.1.0"
        wanted = Wanted(Kind.UPDATE, update={"version": "0.2.0"})
        device_jobs.ask(tx, DEVICE, wanted, "rollout of 0.2.0", "update-1", console.clock.now)
        update_lock.take(tx, tx.session.get_one(Device, DEVICE), console.clock.now)

    console.world.database.transact(ask)
    shown = page(console, AT)
    assert "Обновляется, минуту-другую не продаёт" in shown
    assert "обновление до 0.2.0: ждёт отправки" in " ".join(shown.split())
    failed = Answer(reference="update-1", asked="update", status=AnswerStatus.FAILED, code="rolled_back")
    console.world.database.transact(device_jobs.answered, DEVICE, failed, console.clock.now)
    told = "обновление до 0.2.0: не получилось (Новая версия не заработала, агент вернулся к прежней)"
    assert told in " ".join(page(console, AT).split())


def test_one_stream_of_orders_events_jobs_and_notes(console: Console) -> None:
    world = console.world
    order_id = world.pay()
    world.publish(order_id)
    world.report(order_id, Result.REJECTED, "no_milk")
    console.clock.advance(60)
    world.database.transact(closing.close, DEVICE, "", "breaker", "rejected:no_milk, rejected:no_milk", world.now)
    console.clock.advance(60)
    post(console.client("owner@north"), f"{AT}/note", note="заменил трубку")
    with world.database.read() as session:
        stream = read_machine(session, DEVICE, None, console.clock.now).stream
    assert [one.kind for one in stream] == ["note", "event", "order"]
    shown = page(console, AT)
    assert "заменил трубку" in shown
    assert "179" in shown
    assert "₽" not in page(console, AT, "technician@north")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("timers.max_brew = 240\n\n a.b=true ", {"timers.max_brew": 240, "a.b": True}),
        ("x = 1.5", {"x": 1.5}),
        ("", {}),
        ("nonsense", None),
        ("=1", None),
    ],
)
def test_settings_are_lines(text: str, values: dict[str, object] | None) -> None:
    assert read_settings(text) == values
