"""XLSX files made by a worker: whole, true, taken up again after a kill, limited, fetched only by people who may."""

import io
import re
import zipfile
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from sqlalchemy import delete, func, select, update

from cloud.access.acts import Act
from cloud.access.models import JournalRow, Membership
from cloud.books import export_maker, exports, kinds
from cloud.books.export_maker import ExportMaker
from cloud.books.exports import Export, ExportPart
from cloud.console.books.texts_ru import RU
from cloud.orders.models import Order
from tests.cloud.console.building import Console, post
from tests.cloud.console.test_books import sell, sold

__all__ = ["sold"]
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EPOCH = date(1899, 12, 30)


def maker(console: Console, owner: str = "w1") -> ExportMaker:
    return ExportMaker(console.cloud.database, owner, console.clock)


def asked_for(console: Console, book: str = "ledger", who: str = "accountant@north") -> None:
    assert post(console.client(who), "/console/books/exports", book=book, days="7").status_code == 303


def all_of(console: Console) -> list[Export]:
    with console.cloud.database.read() as session:
        return list(session.scalars(select(Export).order_by(Export.asked_at, Export.id)))


def made(console: Console, by: ExportMaker) -> None:
    for _ in range(200):
        if by.step(console.clock.now) > console.clock.now:
            return
    raise AssertionError("it has no end")


def cells(body: bytes) -> list[list[str]]:
    sheet = zipfile.ZipFile(io.BytesIO(body)).read("xl/worksheets/sheet1.xml")
    tree = ElementTree.fromstring(sheet)
    assert not list(tree.iter(f"{MAIN}f")), "a formula"
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter(f"{MAIN}row")]


def fetched(console: Console, export: Export, who: str = "accountant@north") -> tuple[int, bytes]:
    answer = console.client(who).get(f"/console/books/exports/{export.id}/file")
    if answer.status_code == 200:
        assert (answer.mimetype, answer.content_length) == (XLSX, len(answer.data))
    return answer.status_code, answer.data


def test_a_file_holds_numbers_days_and_no_formula(sold: Console) -> None:
    named = update(Order).values(drink_name="=HYPERLINK(1)")
    sold.world.database.transact(lambda tx: tx.session.execute(named))
    asked_for(sold)
    made(sold, maker(sold))
    [export] = all_of(sold)
    assert (export.state, export.lines, export.percent) == ("ready", 4, 100)
    status, body = fetched(sold, export)
    assert status == 200
    head, *lines = cells(body)
    assert head[6:8] == ["Сумма, ₽", "Комиссия платёжной системы, ₽"]
    assert [line[6] for line in lines] == ["179", "179", "179", "-179"]
    assert lines[0][7] == "6.26"
    assert all(line[-1] == "=HYPERLINK(1)" for line in lines)
    there = sold.world.now.astimezone(tz=None)
    assert EPOCH + timedelta(days=int(float(lines[0][0]))) == there.date()


def test_it_is_shown_as_it_grows_and_who_took_it_is_written_down(
    sold: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "PAGE", 1)
    asked_for(sold)
    client = sold.client("accountant@north")
    assert "ждёт очереди" in client.get("/console/books").get_data(as_text=True)
    by = maker(sold)
    by.step(sold.clock.now)
    shown = client.get("/console/books/exports", headers={"HX-Request": "true"}).get_data(as_text=True)
    assert re.search(r'<progress max="100" value="\d+"', shown)
    assert 'hx-trigger="every 2s"' in shown
    [export] = all_of(sold)
    assert fetched(sold, export)[0] == 409
    made(sold, by)
    shown = client.get("/console/books/exports").get_data(as_text=True)
    assert "hx-trigger" not in shown
    assert "Скачать" in shown
    assert fetched(sold, export)[0] == 200
    with sold.cloud.database.read() as session:
        acts = session.scalars(select(JournalRow.after).where(JournalRow.act == Act.EXPORT).order_by(JournalRow.id))
        assert [set(after or ()) for after in acts] == [{"book", "since", "until"}, {"fetched"}]


def test_a_file_that_is_cut_says_so_and_so_does_the_page(sold: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the latest weeks of a long ledger were missing, and it was said to be ready."""
    for module in (export_maker, exports):
        monkeypatch.setattr(module, "MOST_LINES", 2)
    asked_for(sold)
    made(sold, maker(sold))
    [export] = all_of(sold)
    _, *lines, last = cells(fetched(sold, export)[1])
    assert len(lines) == 2
    assert last == [RU["books.cut"]]
    shown = sold.client("accountant@north").get("/console/books/exports").get_data(as_text=True)
    assert RU["books.state.cut"].format(lines=2) in shown


def test_who_may_not_export_fetches_nothing_also_later(sold: Console) -> None:
    asked_for(sold)
    made(sold, maker(sold))
    [export] = all_of(sold)
    others = ("viewer@north", "support@north", "owner@south")
    assert [fetched(sold, export, who)[0] for who in others] == [403, 403, 404]
    assert fetched(sold, export, "owner@north")[0] == 200
    gone = delete(Membership).where(Membership.user_id == export.user_id)
    sold.cloud.database.transact(lambda tx: tx.session.execute(gone))
    assert fetched(sold, export)[0] in {403, 404}


def test_what_a_killed_worker_began_another_makes_whole(
    console_on_each: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = console_on_each
    for goes_back in (False, False, True):
        sell(sold, None, goes_back=goes_back)
    monkeypatch.setattr(kinds, "PAGE", 1)
    monkeypatch.setattr("cloud.books.export_maker.PART", 500)
    asked_for(sold)
    dead, other = maker(sold, "w1"), maker(sold, "w2")
    for _ in range(7):  # it dies while it stores the finished file
        dead.step(sold.clock.now)
    with sold.cloud.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExportPart))
    assert other.step(sold.clock.now) > sold.clock.now  # not yet: its lease is not over
    sold.clock.advance(61)
    other.step(sold.clock.now)
    dead.step(sold.clock.now)  # it was only slow: it learns that the file is another's now
    made(sold, other)
    [export] = all_of(sold)
    assert (export.state, export.lines, export.tries, export.owner) == ("ready", 4, 2, "w2")
    assert len(cells(fetched(sold, export)[1])) == 5


def test_a_file_that_kills_its_makers_is_given_up(sold: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "PAGE", 1)
    asked_for(sold)
    for number in range(4):
        maker(sold, f"w{number}").step(sold.clock.now)
        sold.clock.advance(61)
    [export] = all_of(sold)
    assert (export.state, export.tries) == ("failed", 3)
    assert maker(sold).step(sold.clock.now) > sold.clock.now


def test_files_are_few_and_go_after_a_day(sold: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_KEPT", 3)
    for _ in range(3):
        asked_for(sold, "money")
    assert len(all_of(sold)) == exports.MOST_OPEN
    for _ in range(exports.MOST_KEPT + 1):
        made(sold, maker(sold))
        sold.clock.advance(1)
        asked_for(sold, "money")
    assert len(all_of(sold)) == exports.MOST_KEPT
    made(sold, maker(sold))
    [*_, last] = all_of(sold)
    sold.clock.advance(24 * 3600 + 1)
    assert fetched(sold, last)[0] == 404
    for _ in range(3):
        made(sold, maker(sold))
    assert all_of(sold) == []
    with sold.cloud.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExportPart)) == 0


def test_everybody_sees_all_files_of_his_own(sold: Console) -> None:
    """Regression: the ten newest of the merchant were shown, and his own, which stood in the way of more, were not."""
    two = ("accountant@north", "owner@north")
    for who in two:
        for _ in range(6):
            asked_for(sold, "money", who)
            made(sold, maker(sold))
            sold.clock.advance(1)
    files = all_of(sold)
    for who, own, others in ((two[0], files[:6], files[6:]), (two[1], files[6:], files[:6])):
        shown = re.findall(r'href="[^"]*/exports/(\w+)/file', sold.client(who).get("/console/books").text)
        assert shown == [one.id for one in (*own[::-1], *others[::-1])]
