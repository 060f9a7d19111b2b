"""The bookkeeper's page, and its files."""

from flask import Response
from werkzeug.exceptions import NotFound

from cloud.access.acts import Act
from cloud.books.csv_file import as_csv
from cloud.books.kinds import KINDS, Kind, Words, lines_of
from cloud.books.period import PRESETS
from cloud.books.reading import by_provider, read_provider_days
from cloud.console.books.asking import asked, machines_of, preset
from cloud.console.books.texts_en import EN
from cloud.console.books.texts_ru import RU
from cloud.console.shell.desk import Desk
from cloud.console.shell.room import Nav, Room
from cloud.orders.sales_days import is_behind
from cloud.orders.sales_figures import ProviderSums

room = Room("books", {"ru": RU, "en": EN}, Nav("books.show", Act.SEE_MONEY, icon="journal", order=55))
SHOWN = 100
"""Lines on the page, the newest; the file has them all."""


@room.page("/books", Act.SEE_MONEY)
def show(desk: Desk) -> str:
    """Taken, returned, kept by the provider, and what is left: together, by provider, by day."""
    wanted = asked(desk)
    with desk.read() as session:
        days = list(read_provider_days(session, wanted))
        machines = machines_of(session, desk.scope)
        behind = is_behind(session)
    providers, whole = by_provider(days), ProviderSums()
    for sums in providers.values():
        whole.add(*sums.stored())
    return desk.render(
        "books/show.html", period=wanted.period, machine=wanted.device_uuid, machines=machines, preset=preset(),
        presets=list(PRESETS), whole=whole, providers=sorted(providers.items()), days=days[:-SHOWN - 1:-1],
        more=len(days) > SHOWN, kinds=list(KINDS), behind=behind,
    )  # fmt: skip


@room.page("/books/files/<book>.csv", Act.EXPORT)
def file(desk: Desk, book: str) -> Response:
    """One kind of book, at once, as a file that Excel opens."""
    kind = KINDS.get(book)
    if kind is None:
        raise NotFound
    wanted, words = asked(desk), words_of(desk, kind)
    text = as_csv(kind.head(words), lines_of(desk.database, kind, wanted, words))
    response = Response(text.encode(), mimetype="text/csv; charset=utf-8")
    name = f"{kind.name}-{wanted.period.first}-{wanted.period.last}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def words_of(desk: Desk, kind: Kind) -> Words:
    """All a file of this kind says, in the reader's language."""
    return {key: str(desk.texts(f"books.{key}")) for key in kind.keys}
