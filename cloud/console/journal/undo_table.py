"""The table of what undoes each act, and which acts nothing undoes. The sections' own use cases do the writing."""

from collections.abc import Mapping
from datetime import datetime

from cloud.access import users
from cloud.access.acts import Act, Role
from cloud.access.journal import CHANGED, Subject
from cloud.access.models import JournalRow, Membership, User
from cloud.alerts import channel_settings, handling
from cloud.alerts.channel_settings import ChannelWrong
from cloud.alerts.kinds import Kind
from cloud.alerts.models import Channel
from cloud.alerts.rule_settings import RuleOfKind, rules_of, set_rules
from cloud.console.alerts.rules import entry_of as entry_of_rules
from cloud.console.journal.undoing import CannotBePutBack, MovedOn, UndoContext, Undoer, Values
from cloud.console.settings import credentials
from cloud.database.transaction import Transaction
from cloud.fleet import accounts, closing, editing, replaced_credentials, snapshots
from cloud.fleet.editing import Thing
from cloud.fleet.fleet_file import FleetFileError
from cloud.payments.reconcile import store
from cloud.releases import rollouts
from cloud.releases.models import Rollout, RolloutState
from cloud.releases.rollouts import CannotRelease


def undoer_of(entry: JournalRow, now: datetime) -> Undoer | None:
    """What undoes this entry; None when nothing does, or nothing does any more."""
    undoer = UNDOERS.get((entry.act, entry.kind))
    if entry.before is None or entry.after is None or entry.before == entry.after:
        return None
    if entry.act == Act.EDIT_CREDENTIALS and entry.before and entry.at <= now - replaced_credentials.KEPT:
        return None
    return undoer


def _present_user(tx: Transaction, subject: Subject, names: Values) -> Values:
    if "disabled" in names:
        user = tx.session.get_one(User, subject.id, with_for_update=True, populate_existing=True)
        return {"disabled": user.disabled_at is not None}
    rows = tx.session.query(Membership).filter_by(user_id=subject.id, merchant_id=subject.merchant_id)
    row = rows.with_for_update().populate_existing().one_or_none()
    return {"role": row.role if row else None, "machines": row.machines if row else None}


def _write_user(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    if "disabled" in values:
        if not users.may_manage(context.person, tx.session, subject.id):
            raise users.NotAllowed("above_own_role")
        if values["disabled"]:
            users.disable(tx, subject.id, context.now)
        else:
            users.enable(tx, subject.id)
    elif values["role"] is None:
        users.take_role(tx, subject.id, subject.merchant_id, context.person)
    else:
        role = Role(values["role"])
        users.give_back_role(tx, subject.id, subject.merchant_id, role, values["machines"], context.person)


def _present_fields(tx: Transaction, subject: Subject, names: Values) -> Values:
    try:
        return editing.state_of(tx.session, Thing(subject.kind, subject.id), names)
    except editing.NoSuchThing:
        return {}


def _write_fields(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    _leave_contract(subject, values, context)
    editing.change(tx, Thing(subject.kind, subject.id), values, context.name, context.now)


def _present_drink(tx: Transaction, subject: Subject, names: Values) -> Values:
    whole = snapshots.of_drink(tx.session, subject.id)
    return {name: value for name, value in whole.items() if not names or name in names}


def _write_drink(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    if values and snapshots.of_drink(tx.session, subject.id):
        _write_fields(tx, subject, values, context)
    else:
        _write_import(tx, subject, {f"drink {subject.id}": dict(values)}, context)


def _present_import(tx: Transaction, subject: Subject, names: Values) -> Values:
    return snapshots.same_fields(snapshots.take(tx.session, subject.merchant_id, lock=True), dict(names))


def _write_import(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    _leave_contract(subject, values.get(f"merchant {subject.merchant_id}", {}), context)
    try:
        snapshots.write(tx, subject.merchant_id, dict(values), context.name, context.now)
    except snapshots.NotOurs:
        raise CannotBePutBack("journal.another_owner") from None
    except (snapshots.InUse, snapshots.NoMachine) as why:
        raise MovedOn([str(why)]) from None


def _leave_contract(subject: Subject, of_merchant: Values, context: UndoContext) -> None:
    if editing.CONTRACT in of_merchant and not context.person.may(Act.RUN_PLATFORM, subject.merchant_id):
        raise CannotBePutBack("journal.contract")


def _present_keys(tx: Transaction, subject: Subject, names: Values) -> Values:
    merchant_id, _, scenario = subject.id.rpartition("/")
    known = credentials.present(tx, merchant_id, scenario)
    if "vat_code" not in names:  # older entries know nothing of it
        known.pop("vat_code", None)
    return known | ({"secret_key": CHANGED} if known and "secret_key" in names else {})


def _write_keys(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    merchant_id, _, scenario = subject.id.rpartition("/")
    try:
        credentials.put_back(tx, context.vault, merchant_id, scenario, values.get("version"), context.now)
    except credentials.NotKept:
        raise CannotBePutBack("journal.keys_not_kept") from None
    except FleetFileError:
        raise CannotBePutBack("journal.keys_not_taken") from None
    except accounts.InUse as used:
        raise MovedOn([str(used)]) from None


def _present_closed(tx: Transaction, subject: Subject, _names: Values) -> Values:
    try:
        return closing.told(tx, subject.device_uuid, _drink_no(subject))
    except closing.NoSuchThing:
        return {}


def _write_closed(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    device_uuid, drink_no = subject.device_uuid, _drink_no(subject)
    closing.open_again(tx, device_uuid, drink_no, context.name, context.now)
    if values["closed"]:
        closing.close(tx, device_uuid, drink_no, values["closed_by"], values["closed_why"], context.now)


def _drink_no(subject: Subject) -> str:
    return subject.id.partition("/")[2] if subject.kind == "drink" else ""


def _present_rules(tx: Transaction, subject: Subject, names: Values) -> Values:
    return {kind: rule for kind, rule in entry_of_rules(rules_of(tx.session, subject.id)).items() if kind in names}


def _write_rules(tx: Transaction, subject: Subject, values: Values, _context: UndoContext) -> None:
    set_rules(tx, subject.id, {Kind(kind): RuleOfKind(*rule) for kind, rule in values.items()})


def _present_channel(tx: Transaction, subject: Subject, names: Values) -> Values:
    channel = tx.session.get(Channel, subject.id, with_for_update=True, populate_existing=True)
    whole = {} if channel is None else channel_settings.terms_of(channel)
    return {name: value for name, value in whole.items() if not names or name in names}


def _write_channel(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    channel = tx.session.get(Channel, subject.id)
    try:
        if channel is None:
            terms = channel_settings.terms_from(values)
            channel_settings.put_back(tx, subject.id, subject.merchant_id, terms, context.now)
        elif not values:
            channel_settings.remove(tx, subject.id)
        else:
            terms = channel_settings.terms_from({**channel_settings.terms_of(channel), **values})
            channel_settings.change(tx, subject.id, terms)
    except ChannelWrong:
        raise CannotBePutBack("journal.channel_not_taken") from None


def _present_maintenance(tx: Transaction, subject: Subject, _names: Values) -> Values:
    return handling.muted(tx.session, subject.merchant_id, subject.id)


def _write_maintenance(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    until = datetime.fromisoformat(values["maintenance_until"]) if values["maintenance_until"] else None
    if until is None or until <= context.now:
        handling.unmute(tx, subject.merchant_id, subject.id)
    else:
        handling.mute(tx, subject.merchant_id, subject.id, until, context.name, values["maintenance"], context.now)


def _present_difference(tx: Transaction, subject: Subject, _names: Values) -> Values:
    return store.standing(tx.session, int(subject.id))


def _write_difference(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    store.put_back(tx, int(subject.id), values, context.now)


def _present_rollout(tx: Transaction, subject: Subject, _names: Values) -> Values:
    row = tx.session.get(Rollout, _number(subject), with_for_update=True, populate_existing=True)
    return {} if row is None else {"state": row.state}


def _write_rollout(tx: Transaction, subject: Subject, values: Values, context: UndoContext) -> None:
    number = _number(subject)
    if rollouts.has_failed(tx.session, number):
        raise CannotBePutBack("journal.machines_failed")
    try:
        match values["state"]:
            case RolloutState.PAUSED:
                rollouts.pause(tx, number)
            case RolloutState.STOPPED:
                rollouts.stop(tx, "", context.now, number)
            case _:
                rollouts.resume(tx, context.now, number)
    except CannotRelease as cannot:
        raise MovedOn([cannot.about] if cannot.about else []) from None


def _number(subject: Subject) -> int:
    return int(subject.id.rpartition("/")[2])


_FIELDS = Undoer(_present_fields, _write_fields)
_CLOSED = Undoer(_present_closed, _write_closed)
_HELD = Undoer(_present_rollout, _write_rollout, asks_who=True)
UNDOERS: Mapping[tuple[str, str], Undoer] = {
    (Act.MANAGE_USERS, "user"): Undoer(_present_user, _write_user),
    (Act.EDIT_MERCHANT, "merchant"): _FIELDS,
    (Act.EDIT_MACHINES, "device"): _FIELDS,
    (Act.EDIT_MENU, "device"): _FIELDS,
    (Act.EDIT_MENU, "drink"): Undoer(_present_drink, _write_drink),
    (Act.EDIT_CREDENTIALS, "credential"): Undoer(_present_keys, _write_keys),
    (Act.IMPORT_FLEET, "merchant"): Undoer(_present_import, _write_import),
    (Act.CLOSE_AND_OPEN, "device"): _CLOSED,
    (Act.CLOSE_AND_OPEN, "drink"): _CLOSED,
    (Act.EDIT_ALERTS, "alert_rules"): Undoer(_present_rules, _write_rules),
    (Act.EDIT_ALERTS, "channel"): Undoer(_present_channel, _write_channel),
    (Act.EDIT_ALERTS, "device"): Undoer(_present_maintenance, _write_maintenance),
    (Act.SETTLE_DIFFERENCE, "difference"): Undoer(_present_difference, _write_difference),
    (Act.PAUSE_ROLLOUT, "rollout"): _HELD,
    (Act.STOP_ROLLOUT, "rollout"): _HELD,
}
"""By act and kind of object."""
NOT_UNDOABLE = frozenset({
    Act.OWN_ACCOUNT, Act.REQUEST_RETURN, Act.KEEP_MONEY, Act.APPROVE_RETURN, Act.POUR_AGAIN, Act.RESOLVE,
    Act.NOTE_ORDER, Act.ANSWER_CLAIM, Act.RINSE, Act.RESTART, Act.TEST_CUP, Act.RESUME, Act.MACHINE_SETTINGS,
    Act.NOTE_MACHINE, Act.ACKNOWLEDGE, Act.ENROL, Act.REVOKE_DEVICE, Act.OPEN_SUPPORT_ACCESS, Act.RUN_PLATFORM,
    Act.START_ROLLOUT, Act.RESUME_ROLLOUT,
})  # fmt: skip
"""Acts that nothing undoes; the sentence `journal.not_undoable.<act>` says why."""
LEAVES_NOTHING = frozenset({Act.EXPORT})
"""Acts that change nothing, beside those of looking."""
