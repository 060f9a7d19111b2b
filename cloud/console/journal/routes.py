"""The journal's page, and the button that undoes an act."""

from collections.abc import Iterator
from typing import Any

from flask import request
from werkzeug.exceptions import Conflict, NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import CHANGED
from cloud.access.models import JournalRow
from cloud.access.users import NotAllowed
from cloud.console.journal import readers, undoing
from cloud.console.journal.readers import ENTRY, Filter
from cloud.console.journal.texts_en import ACTS, EN
from cloud.console.journal.texts_ru import RU
from cloud.console.journal.undo_table import NOT_UNDOABLE, undoer_of
from cloud.console.shell.paging import AFTER, Key
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction
from cloud.fleet.editing import NotTaken
from cloud.fleet.vault import Vault

section = Section("journal", {"ru": RU, "en": EN}, Nav("journal.show", Act.SEE_OWN_JOURNAL, icon="journal", order=90))
CHOICES = {
    "capture": "settings.capture", "status_check": "settings.status_check", "role": "shell.role",
    "payment_scenario": "shell.scenario", "vat_code": "settings.vat_code",
}  # fmt: skip
"""Where the words of a stored choice stand, by its field."""
MOST_SHOWN = 12
"""Fields of one entry that are shown; a loaded file may have changed thousands."""


@section.page("/journal", Act.SEE_OWN_JOURNAL)
def show(context: RequestContext) -> str:
    """Who did what, the newest first."""
    asked = Filter(**{name: request.args.get(name, "")[:255] for name in Filter.__dataclass_fields__})
    with context.read() as session:
        listed = readers.entries(session, context.person, asked, Key.read(request.args.get(AFTER, "")))
        undone = readers.undone(session, [entry.id for entry in listed.items])
        days, last = readers.sealed(session)
    can_undo = {
        entry.id for entry in listed.items
        if entry.id not in undone and undoer_of(entry, context.now) is not None
        and context.person.may(Act(entry.act), entry.merchant_id, entry.device_uuid)
    }  # fmt: skip
    return context.render(
        "journal/show.html", listed=listed, asked=asked, undone=undone, can_undo=can_undo, days=days, last=last,
        changes=_changes, most=MOST_SHOWN, words=lambda name, value: _words(context, name, value),
        named=lambda name: _named(context, name), acts=ACTS, not_undoable=NOT_UNDOABLE,
    )  # fmt: skip


@section.act("/journal/<entry_id>/undo", Act.SEE_OWN_JOURNAL, ENTRY)
def undo(context: RequestContext, entry_id: str) -> BaseResponse:
    """Write what was before; the right is that of the act itself."""
    with context.read() as session:
        entry = session.get(JournalRow, int(entry_id))
    if entry is None:
        raise NotFound
    undoer = undoer_of(entry, context.now)
    if undoer is None:
        raise Conflict
    vault = Vault(context.cloud.settings.secret_key, context.cloud.settings.old_secret_keys)
    undo_context = undoing.UndoContext(context.person, vault, context.now)

    def work(tx: Transaction) -> Done[None]:
        return undoing.undo(tx, entry, undoer, undo_context)

    try:
        why = request.form.get("why", "")
        context.perform(Act(entry.act), undoing.subject_of(entry), why, work, confirmed=undoer.asks_who)
    except undoing.MovedOn as moved:
        context.say("journal.moved_on", good=False, names=", ".join(moved.names[:MOST_SHOWN]) or entry.object_id)
    except undoing.CannotBePutBack as error:
        context.say(str(error), good=False)
    except NotTaken:
        context.say("journal.not_taken", good=False)
    except NotAllowed as error:
        context.say(f"people.{error}", good=False)
    else:
        context.say("journal.undone_now")
    return context.go("journal.show")


def _changes(entry: JournalRow) -> list[tuple[str, object, object]]:
    """Name, before, after; what did not change, or was and is nothing, is left out."""
    return [*_differing(entry.before or {}, entry.after or {}, shows_all=entry.before is None)]


def _differing(
    before: dict[str, Any], after: dict[str, Any], within: str = "", *, shows_all: bool = False
) -> Iterator[tuple[str, object, object]]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{name} ")
        elif shows_all or (old != new and (old or new)):
            yield f"{within}{name}", old, new


def _named(context: RequestContext, name: str) -> str:
    """A field in words where it has any; of a loaded file the thing stands before it."""
    within, _, field = name.rpartition(" ")
    keys = (f"settings.field.{field}", f"settings.note.{field}", f"journal.field.{field}")
    words = next((str(context.texts(key)) for key in keys if context.texts.has(key)), field)
    return f"{within} {words}".strip()


def _words(context: RequestContext, name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(context.texts("journal.yes" if value else "journal.no"))
    if isinstance(value, int) and name.rpartition(" ")[2].startswith("price_"):
        return str(context.texts.price(value))
    if value in (None, "", [], {}):
        return str(context.texts("journal.nothing"))
    if value == CHANGED:
        return str(context.texts("journal.changed"))
    prefix = CHOICES.get(name.rpartition(" ")[2])
    if prefix and context.texts.has(f"{prefix}.{value}"):
        return str(context.texts(f"{prefix}.{value}"))
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
