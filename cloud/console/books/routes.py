"""The bookkeeper's page, and its files: CSV at once, XLSX made by a worker and fetched from here."""

from flask import Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import Conflict, NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.books import exports
from cloud.books.csv_file import as_csv
from cloud.books.kinds import KINDS, Kind, Words, lines_of
from cloud.books.period import PRESETS
from cloud.books.reading import by_provider, read_provider_days
from cloud.console.books.asking import asked, preset
from cloud.console.books.texts_en import EN
from cloud.console.books.texts_ru import RU
from cloud.console.shell.machines import machines_in
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Kind as Thing
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction
from cloud.orders.sales_days import is_behind
from cloud.orders.sales_figures import ProviderSums


def find_export(session: Session, export_id: str) -> Subject | None:
    """Whose a file is."""
    found = exports.find(session, export_id[:32])
    return None if found is None else Subject("export", found.id, found.merchant_id)


EXPORT = Thing("export", "export_id", find_export)
section = Section("books", {"ru": RU, "en": EN}, Nav("books.show", Act.SEE_MONEY, icon="journal", order=55))
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RENEWED_S = 2
SHOWN = 62
"""Lines on the page, the newest; the file has them all."""


@section.page("/books", Act.SEE_MONEY)
def show(context: RequestContext) -> str:
    """Taken, returned, kept by the provider, and what is left: together, by provider, by day."""
    wanted = asked(context)
    with context.read() as session:
        days = list(read_provider_days(session, wanted))
        machines = machines_in(session, context.scope)
        behind = is_behind(session)
    exporting = context.scope_of(Act.EXPORT)
    exports_all = exporting == context.scope  # else a file would not be of the sums it stands beside
    providers, whole = by_provider(days), ProviderSums()
    for sums in providers.values():
        whole.add(*sums.stored())
    return context.render(
        "books/show.html", period=wanted.period, machine=wanted.device_uuid, machines=machines, preset=preset(),
        presets=list(PRESETS), whole=whole, providers=sorted(providers.items()), days=days[:-SHOWN - 1:-1],
        more=len(days) > SHOWN, kinds=list(KINDS), behind=behind, whose=_whose(context),
        exports_all=exports_all, exports_some=not exporting.is_empty, **(_files(context) if exports_all else {}),
    )  # fmt: skip


@section.page("/books/files/<book>.csv", Act.EXPORT)
def file(context: RequestContext, book: str) -> Response:
    """One kind of book, at once, as a file that Excel opens."""
    kind = KINDS.get(book)
    if kind is None:
        raise NotFound
    wanted, words = asked(context), words_of(context, kind)
    text = as_csv(kind.head(words), lines_of(context.database, kind, wanted, words))
    response = Response(text.encode(), mimetype="text/csv; charset=utf-8")
    name = f"{kind.name}-{wanted.period.first}-{wanted.period.last}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@section.page("/books/exports", Act.EXPORT)
def files(context: RequestContext) -> str:
    """What has been asked for and how far it has come; the part of the page that renews itself."""
    return context.render("books/files.html", **_files(context))


@section.act("/books/exports", Act.EXPORT)
def prepare(context: RequestContext) -> BaseResponse:
    """Have a worker make a file."""
    merchant, kind = _whose(context), KINDS.get(request.form.get("book", ""))
    if not merchant or kind is None:
        context.say("books.one_company", good=False)
        return context.go("books.show")
    wanted = asked(context)
    words = {**words_of(context, kind), "title": str(context.texts(f"books.file.{kind.name}"))}
    entry = {"book": kind.name, "since": f"{wanted.period.first}", "until": f"{wanted.period.last}"}
    who = (context.person.user_id, context.author.name)

    def work(tx: Transaction) -> Done[None]:
        made = exports.ask(tx, merchant, who, kind.name, wanted, words, context.now)
        return Done(None, None, entry, Subject("export", made.id, merchant))

    try:
        context.perform(Act.EXPORT, Subject("export", "", merchant), "", work)
    except exports.TooMany:
        context.say("books.too_many", good=False)
    return context.go(
        "books.show", since=wanted.period.first, until=wanted.period.last, machine=wanted.device_uuid or None
    )


@section.page("/books/exports/<export_id>/file", Act.EXPORT, EXPORT)
def fetch(context: RequestContext, export_id: str) -> Response:
    """The file, if the person may have it at this moment."""
    with context.read() as session:
        export = exports.find(session, export_id)
    if export is None or export.expires_at <= context.now:
        raise NotFound
    if export.state != exports.State.READY:
        raise Conflict
    context.perform(Act.EXPORT, context.about(), "", lambda _: Done(None, None, {"fetched": export.kind}))
    response = Response(exports.read(context.database, export.id), mimetype=XLSX)
    response.content_length = export.size
    name = f"{export.kind}-{export.first}-{export.last}.xlsx"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@section.act("/books/exports/<export_id>/remove", Act.EXPORT, EXPORT)
def remove(context: RequestContext, export_id: str) -> BaseResponse:
    """It is not needed any more."""

    def work(tx: Transaction) -> Done[None]:
        exports.remove(tx, export_id)
        return Done(None, {"kept": True}, {"kept": False})

    context.perform(Act.EXPORT, context.about(), "", work)
    return context.go("books.show")


def _files(context: RequestContext) -> dict[str, object]:
    with context.read() as session:
        made = exports.of_merchant(session, context.scope, context.person.user_id, context.now)
    return {"made": made, "renewed_s": RENEWED_S if any(one.is_open for one in made) else 0}


def _whose(context: RequestContext) -> str:
    """The one merchant the page is about; a file is always of one."""
    return next(iter(context.scope.merchants)) if len(context.scope.merchants) == 1 else ""


def words_of(context: RequestContext, kind: Kind) -> Words:
    """All a file of this kind says, in the reader's language."""
    return {key: str(context.texts(f"books.{key}")) for key in kind.keys}
