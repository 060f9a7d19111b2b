"""Pages of machines: the worst first and why, what a person can do, and that the buyer hears of it."""

import base64
import re
from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from cloud.access import users
from cloud.access.acts import Act, Role
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.models import JournalRow
from cloud.access.person import EVERYTHING
from cloud.console.machines.acts import read_settings
from cloud.console.machines.one_machine import STREAM, Happening, read_machine
from cloud.console.machines.reading import read_fleet
from cloud.console.shell.paging import Key
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, Wanted
from cloud.database.transaction import Transaction
from cloud.fleet import closing, machine_events, update_lock
from cloud.fleet.models import Device, DeviceLive
from cloud.fleet.presence_history import note
from cloud.orders.models import Order
from cloud.orders.scanning import NotForSale
from protocol.messages import Answer, Event
from protocol.reasons import AnswerStatus, Result
from tests.cloud.console.building import FOREIGN, FOREIGN_DEVICE, OWN, Console, form_token, post
from tests.cloud.console.made import poured
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


def test_a_machine_that_became_anothers_is_not_seen_for_a_right_to_other_machines_there(console: Console) -> None:
    """Regression: owners and machines were asked for apart, so a technician of two merchants saw pairs he never had."""
    who = console.add_user("both", OWN, Role.TECHNICIAN, [DEVICE])
    console.cloud.database.transact(users.give_role, who, FOREIGN, Role.TECHNICIAN, [FOREIGN_DEVICE])
    lists = ("/console/machines", "/console/orders?show=all")
    before, later = poured(console.world), poured(console.world)
    assert [mine in page(console, at, "both") for at, mine in zip(lists, (DEVICE, later), strict=True)] == [True] * 2

    def becomes_anothers(tx: Transaction) -> None:
        tx.session.execute(update(Device).where(Device.device_uuid == DEVICE).values(merchant_id=FOREIGN))
        tx.connection.execute(update(Order).where(Order.id == later).values(merchant_id=FOREIGN))

    console.cloud.database.transact(becomes_anothers)
    shown = [page(console, at, "both") for at in lists]
    assert [thing in where for where in shown for thing in (f"/machines/{DEVICE}", later)] == [False] * 4
    assert (FOREIGN_DEVICE in shown[0], before in shown[1]) == (True, True)


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
    assert f'action="{AT}/open"' in page(console, f"{AT}/now"), "the living part goes on, with the button that opens"
    post(client, f"{AT}/open", drink="latte")
    console.world.scan()


@pytest.mark.parametrize("at", [AT, f"/console/enrolment/{DEVICE}"])
def test_the_poster_is_a_tap_away_in_the_readers_language(console: Console, at: str) -> None:
    [poster] = re.findall(r'href="([^"]*/poster\.pdf[^"]*)"', page(console, f"{at}?lang=en"))
    assert poster == f"/m/{DEVICE}/poster.pdf?lang=en"
    assert console.client().get(poster).mimetype == "application/pdf"


@pytest.mark.parametrize("at", [AT, f"/console/enrolment/{DEVICE}"])
def test_a_machine_that_sells_by_signed_codes_alone_has_no_poster(console: Console, at: str) -> None:
    """Regression: the printed code was refused to every buyer."""
    console.world.database.transact(lambda tx: setattr(tx.session.get_one(Device, DEVICE), "qr", "signed"))
    assert "poster" not in page(console, at)
    assert console.client().get(f"/m/{DEVICE}/poster.pdf").status_code == 403


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


def test_no_test_cup_is_promised_while_the_agent_refuses_it(console: Console) -> None:
    """Regression: it was to open what closed by itself, and an agent that had stopped selling always refused it."""
    promised, refused = "Удачная чашка откроет то, что закрылось само", "сначала «Продавать снова»"
    live(console, DEVICE, online=True, selling=True)
    assert (promised in page(console, AT), refused in page(console, AT)) == (True, False)
    live(console, DEVICE, online=True, selling=False, reason="2 drinks in a row ended unknown; needs a person")
    assert (promised in page(console, AT), refused in page(console, AT)) == (False, True)


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


def whole_stream(console: Console) -> list[Happening]:
    """Of all pages, as a browser turns them."""
    seen: list[Happening] = []
    after: Key | None = None
    for _ in range(20):
        with console.world.database.read() as session:
            machine = read_machine(session, DEVICE, after, console.clock.now)
        assert len(machine.stream) <= STREAM
        seen += machine.stream
        after = Key.read(machine.older)
        if after is None:
            return seen
    raise AssertionError("the pages have no end")


def heard(tx: Transaction, number: int, now: datetime) -> None:
    """A batch of events, received at once."""
    for n in range(number):
        said = Event(message_id=f"{now} {n}", at=now, what="fault_set", code="", words=str(n), evidence={}, lost=0)
        machine_events.keep(tx, DEVICE, said, now)


def noted(tx: Transaction, number: int, now: datetime) -> None:
    for n in range(number):
        record(tx, Entry(Act.NOTE_MACHINE, Author("u", "Ann"), Subject("device", DEVICE, "north", DEVICE), str(n)), now)


def test_each_row_of_one_moment_is_on_one_page_of_the_stream(console_on_each: Console) -> None:
    """Regression: the next page began below the moment of the last row, and the rest of that moment was on none."""
    console, database = console_on_each, console_on_each.world.database
    order_id = console.world.pay()
    live(console, DEVICE, online=True, selling=True)
    database.transact(device_jobs.ask, DEVICE, Wanted(Kind.RESUME), "Ann", "resume-1", console.clock.now)
    database.transact(heard, 100, console.clock.now)
    database.transact(noted, 90, console.clock.now)
    console.clock.advance(1)
    database.transact(heard, 41, console.clock.now)

    stream = whole_stream(console)

    rows = {(one.kind, one.id) for one in stream}
    assert len(rows) == len(stream)
    assert Counter(one.kind for one in stream) == {"event": 141, "note": 90, "order": 1, "job": 1, "spell": 1}
    assert ("order", order_id) in rows
    assert [one.at for one in stream] == sorted((one.at for one in stream), reverse=True)


@pytest.mark.parametrize(
    "key",
    [
        "2026-03-03T00:00:00+00:00 event:abc",
        f"2026-03-03T00:00:00+00:00 event:{'9' * 30}",
        "2026-03-03T00:00:00+00:00 999999999999",
        "2026-03-03T00:00:00+00:00 order:x\0y",
        "0001-01-01T00:00:00+05:00 1",
        "0001-01-03T00:00:00+00:00 -",
        "9999-12-31T23:59:59-05:00 1",
    ],
)
def test_a_page_begins_somewhere_whatever_its_address_says(console_on_each: Console, key: str) -> None:
    """Regression: an id that was no number, or a moment no database has, was a fault of ours."""
    after = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    for path in (AT, "/console/journal", "/console/orders"):
        assert console_on_each.client("owner@north").get(f"{path}?after={after}").status_code == 200, path


def test_every_spell_that_is_kept_is_in_the_stream(console_on_each: Console) -> None:
    """Regression: spells that ended a week before a page began were dropped, and without a full page that was all."""
    console = console_on_each
    for _ in range(60):
        for online in (True, False):
            live(console, DEVICE, online=online)
            console.clock.advance(timedelta(hours=12).total_seconds())
    stream = whole_stream(console)
    assert len({one.id for one in stream}) == len(stream) == 120
    shown = console.client("owner@north").get(AT).text
    assert 'rel="next"' in shown


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
