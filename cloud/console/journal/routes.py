"""The journal's page, and the button that takes an act back."""

from flask import request
from werkzeug.exceptions import Conflict, NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.models import JournalRow
from cloud.access.users import NotAllowed
from cloud.console.journal import readers, undoing
from cloud.console.journal.readers import ENTRY, Filter
from cloud.console.journal.texts_en import ACTS, EN
from cloud.console.journal.texts_ru import RU
from cloud.console.shell.desk import Desk, Done
from cloud.console.shell.paging import AFTER, Key
from cloud.console.shell.room import Nav, Room
from cloud.database.transaction import Transaction

room = Room("journal", {"ru": RU, "en": EN}, Nav("journal.show", Act.SEE_OWN_JOURNAL, icon="journal", order=90))


@room.page("/journal", Act.SEE_OWN_JOURNAL)
def show(desk: Desk) -> str:
    """Who did what, the newest first."""
    asked = Filter(**{name: request.args.get(name, "")[:255] for name in Filter.__dataclass_fields__})
    with desk.read() as session:
        listed = readers.entries(session, desk.person, asked, Key.read(request.args.get(AFTER, "")))
        undone = readers.undone(session, [entry.id for entry in listed.items])
        days, last = readers.sealed(session)
    can_undo = {
        entry.id for entry in listed.items
        if entry.id not in undone and undoing.can_be_undone(entry)
        and desk.person.may(Act(entry.act), entry.merchant_id, entry.device_uuid)
    }  # fmt: skip
    return desk.render(
        "journal/show.html", listed=listed, asked=asked, undone=undone, can_undo=can_undo, days=days, last=last,
        changes=_changes, words=lambda value: _words(desk, value), acts=ACTS,
    )  # fmt: skip


@room.act("/journal/<entry_id>/undo", Act.SEE_OWN_JOURNAL, ENTRY)
def undo(desk: Desk, entry_id: str) -> BaseResponse:
    """Write what was before; the right is that of the act itself."""
    with desk.read() as session:
        entry = session.get(JournalRow, int(entry_id))
    if entry is None:
        raise NotFound
    if not undoing.can_be_undone(entry):
        raise Conflict

    def work(tx: Transaction) -> Done[None]:
        return undoing.undo(tx, entry, desk.person, desk.now)

    try:
        desk.perform(Act(entry.act), undoing.subject_of(entry), request.form.get("why", ""), work)
    except undoing.MovedOn:
        desk.say("journal.moved_on", good=False)
    except NotAllowed as error:
        desk.say(f"people.{error}", good=False)
    else:
        desk.say("journal.undone_now")
    return desk.go("journal.show")


def _changes(entry: JournalRow) -> list[tuple[str, object, object]]:
    """Name, before, after; what did not change is left out."""
    before, after = entry.before or {}, entry.after or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) or not entry.before]
    return [(name, before.get(name), after.get(name)) for name in names]


def _words(desk: Desk, value: object) -> str:
    if value in (None, "", [], {}):
        return str(desk.texts("journal.nothing"))
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
