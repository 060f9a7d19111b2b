"""Pages of the settings: merchants, machines, menus, buyers' texts; each save is one act, and can be undone."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import Subject
from cloud.console.settings import credentials, files, forms, preview, readers
from cloud.console.settings.readers import DRINK, MenuDrink
from cloud.console.settings.texts_en import EN
from cloud.console.settings.texts_ru import RU
from cloud.console.shell.kinds import DEVICE, MERCHANT
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction
from cloud.fleet import editing, file_fields
from cloud.fleet.editing import NotTaken, Overtaken, Thing
from cloud.fleet.fleet_file import FleetFileError
from cloud.fleet.models import DEVICE_STATUSES, NOTE_FIELDS, SCENARIOS, Device, Merchant
from cloud.fleet.notes import MAX_NOTE
from cloud.fleet.qr_key import QR_RULES
from cloud.fleet.receipt_terms import VAT_CODES, WITH_RECEIPT
from cloud.fleet.vault import Vault

section = Section("settings", {"ru": RU, "en": EN}, Nav("settings.merchants", Act.SEE_SETTINGS, "settings", 70))
MACHINE = ("location", "zone", "serial_no", "status", "logo_url", "qr")
_OF_KEYS = re.compile(r"(?:line \d+, merchant\.payment\.\w+\.)?(\w+):? (.+)", re.DOTALL)
DRINK_FIELDS = ("name", *forms.PRICES)
MERCHANT_FIELDS = ("name", "contact_email", "zone")
ZONES = (
    "Europe/Kaliningrad", "Europe/Moscow", "Europe/Samara", "Asia/Yekaterinburg", "Asia/Omsk", "Asia/Krasnoyarsk",
    "Asia/Irkutsk", "Asia/Yakutsk", "Asia/Vladivostok", "Asia/Magadan", "Asia/Kamchatka",
)  # fmt: skip


@section.page("/settings", Act.SEE_SETTINGS)
def merchants(context: RequestContext) -> str | BaseResponse:
    """The merchants of this person; one alone is opened at once."""
    with context.read() as session:
        found = readers.merchants(session, context.scope)
    if len(found) == 1:
        return context.go("settings.merchant", merchant_id=found[0].id)
    return context.render("settings/merchants.html", found=found)


@section.page("/settings/<merchant_id>", Act.SEE_SETTINGS, MERCHANT)
def merchant(context: RequestContext, merchant_id: str) -> str:
    """One merchant: what it is, its keys, its machines, its file."""
    wanted = request.args.get("q", "").strip()[:100]
    with context.read() as session:
        state = editing.state_of(session, Thing("merchant", merchant_id))
        accounts, machines = readers.accounts(session, merchant_id), readers.machines(session, merchant_id, wanted)
    return context.render(
        "settings/merchant.html", merchant_id=merchant_id, state=state, seen=forms.seen_as(state), accounts=accounts,
        machines=machines, q=wanted, zones=ZONES,
        scenarios=[one for one in SCENARIOS if one not in {account.scenario for account in accounts}],
    )  # fmt: skip


@section.act("/settings/<merchant_id>", Act.EDIT_MERCHANT, MERCHANT)
def save_merchant(context: RequestContext, merchant_id: str) -> BaseResponse:
    """Its name, address for buyers, zone; its contract where the platform's admin does."""
    names = (*MERCHANT_FIELDS, editing.CONTRACT) if context.may(Act.RUN_PLATFORM) else MERCHANT_FIELDS
    _save(context, Act.EDIT_MERCHANT, Thing("merchant", merchant_id), names)
    return context.go("settings.merchant", merchant_id=merchant_id)


@section.page("/settings/<merchant_id>/keys/<scenario>", Act.EDIT_CREDENTIALS, MERCHANT, confirmed=True)
def keys(context: RequestContext, merchant_id: str, scenario: str) -> str:
    """The form of an account's keys; the secret is not in it."""
    if scenario not in SCENARIOS:
        raise NotFound
    return _keys(context, merchant_id, scenario)


@section.act("/settings/<merchant_id>/keys/<scenario>", Act.EDIT_CREDENTIALS, MERCHANT)
def save_keys(context: RequestContext, merchant_id: str, scenario: str) -> str | BaseResponse:
    """Take new keys."""
    if scenario not in SCENARIOS:
        raise NotFound
    vault = Vault(context.cloud.settings.secret_key, context.cloud.settings.old_secret_keys)
    typed, seen = request.form.to_dict(), forms.seen()
    try:
        context.perform(
            Act.EDIT_CREDENTIALS, Subject("credential", f"{merchant_id}/{scenario}", merchant_id), "",
            lambda tx: credentials.save(tx, vault, merchant_id, scenario, typed, context.now, seen),
        )  # fmt: skip
    except FleetFileError as error:
        return _keys(context, merchant_id, scenario, typed, _of_form(context, error.problems))
    except Overtaken:
        context.say("settings.overtaken", good=False)
        return context.go("settings.keys", merchant_id=merchant_id, scenario=scenario)
    context.say("settings.keys_saved")
    return context.go("settings.merchant", merchant_id=merchant_id)


@section.page("/settings/machine/<device_uuid>", Act.SEE_SETTINGS, DEVICE)
def machine(context: RequestContext, device_uuid: str) -> str:
    """One machine: its place, its menu, its texts."""
    with context.read() as session:
        state = editing.state_of(session, Thing("device", device_uuid))
        menu = readers.menu(session, device_uuid)
    return context.render(
        "settings/machine.html", device_uuid=device_uuid, state=state, seen=forms.seen_as(state), menu=menu,
        zones=ZONES, statuses=DEVICE_STATUSES, qr_rules=QR_RULES, notes=NOTE_FIELDS, roubles=forms.roubles,
        seen_of=_seen_of, merchant_id=context.about().merchant_id,
    )  # fmt: skip


@section.act("/settings/machine/<device_uuid>", Act.EDIT_MACHINES, DEVICE)
def save_machine(context: RequestContext, device_uuid: str) -> BaseResponse:
    """Place, zone, serial number, state, logo, codes."""
    _save(context, Act.EDIT_MACHINES, Thing("device", device_uuid), MACHINE)
    return context.go("settings.machine", device_uuid=device_uuid)


@section.page("/settings/machine/<device_uuid>/text/<field>", Act.EDIT_MENU, DEVICE)
def text(context: RequestContext, device_uuid: str, field: str) -> str:
    """One text for buyers, beside their page in both languages."""
    _note(field)
    with context.read() as session:
        state = editing.state_of(session, Thing("device", device_uuid), [field])
    return context.render(
        "settings/text.html", device_uuid=device_uuid, field=field, state=state, seen=forms.seen_as(state),
        notes=NOTE_FIELDS,
    )  # fmt: skip


@section.act("/settings/machine/<device_uuid>/text/<field>", Act.EDIT_MENU, DEVICE)
def save_text(context: RequestContext, device_uuid: str, field: str) -> BaseResponse:
    """Keep it."""
    _note(field)
    _save(context, Act.EDIT_MENU, Thing("device", device_uuid), (field,))
    return context.go("settings.text", device_uuid=device_uuid, field=field)


@section.act("/settings/machine/<device_uuid>/preview/<field>", Act.EDIT_MENU, DEVICE)
def show_preview(context: RequestContext, device_uuid: str, field: str) -> Response:
    """The buyer's page as it would be; nothing is kept."""
    _note(field)
    with context.read() as session:
        device = session.get_one(Device, device_uuid)
        contact = session.get_one(Merchant, device.merchant_id).contact_email
    note = request.form.get(field, "")
    return preview.page(device, contact, field, note, context.cloud.settings.public_url, context.now)


@section.act("/settings/machine/<device_uuid>/drinks", Act.EDIT_MENU, DEVICE)
def add_drink(context: RequestContext, device_uuid: str) -> BaseResponse:
    """One more drink."""
    subject, drink_no = context.about(), request.form.get("drink_no", "").strip()

    def work(tx: Transaction) -> Done[None]:
        wanted = forms.wanted(DRINK_FIELDS)
        thing, added = editing.add_drink(tx, device_uuid, drink_no, wanted, context.author.name, context.now)
        made = Subject("drink", thing.id, subject.merchant_id, device_uuid)
        return Done(None, {}, added, made)

    _taken(context, Act.EDIT_MENU, subject, work)
    return context.go("settings.machine", device_uuid=device_uuid)


@section.act("/settings/drink/<path:drink_id>", Act.EDIT_MENU, DRINK)
def save_drink(context: RequestContext, drink_id: str) -> BaseResponse:
    """Its name and prices; or it leaves the menu."""
    subject = context.about()
    if "remove" in request.form:
        thing = Thing("drink", drink_id)
        _taken(
            context, Act.EDIT_MENU, subject,
            lambda tx: Done(None, editing.remove_drink(tx, thing, context.author.name, context.now), {}),
        )  # fmt: skip
    else:
        _save(context, Act.EDIT_MENU, Thing("drink", drink_id), DRINK_FIELDS)
    return context.go("settings.machine", device_uuid=subject.device_uuid)


@section.page("/settings/<merchant_id>/fleet.toml", Act.IMPORT_FLEET, MERCHANT)
def export(context: RequestContext, merchant_id: str) -> Response:
    """The merchant as a file, without secrets."""
    with context.read() as session:
        return files.download(session, merchant_id)


@section.act("/settings/<merchant_id>/import", Act.IMPORT_FLEET, MERCHANT)
def load(context: RequestContext, merchant_id: str) -> str:
    """What a file would change; with `go`, the change. Keys are left alone."""
    result = files.load(context, merchant_id)
    return context.render("settings/import.html", merchant_id=merchant_id, result=result)


def _keys(
    context: RequestContext,
    merchant_id: str,
    scenario: str,
    typed: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
) -> str:
    """The form with what is stored, or with what was typed into it."""
    with context.read() as session:
        known = next((one for one in readers.accounts(session, merchant_id) if one.scenario == scenario), None)
    seen = (typed or {}).get(forms.SEEN) or forms.seen_as({"version": known and known.version})
    return context.render(
        "settings/keys.html", merchant_id=merchant_id, scenario=scenario, known=known, shown=typed or known or {},
        seen=seen, addresses=credentials.addresses_of(scenario), problems=problems,
        rates=_rates(context) if scenario in WITH_RECEIPT else [],
    )  # fmt: skip


def _rates(context: RequestContext) -> list[tuple[str, str]]:
    return [(str(code), str(context.texts(f"settings.vat_code.{code}"))) for code in VAT_CODES]


def _seen_of(drink: MenuDrink) -> str:
    return forms.seen_as({"name": drink.name, **dict(zip(forms.PRICES, drink.prices, strict=True))})


def _save(context: RequestContext, act: Act, thing: Thing, names: tuple[str, ...]) -> None:
    def work(tx: Transaction) -> Done[None]:
        changed = editing.change(tx, thing, forms.wanted(names), context.author.name, context.now, forms.seen())
        return Done(None, changed.before, changed.after)

    about = context.about()
    _taken(context, act, Subject(thing.kind, thing.id, about.merchant_id, about.device_uuid), work)


def _taken(context: RequestContext, act: Act, subject: Subject, work: Any) -> None:
    try:
        context.perform(act, subject, request.form.get("why", ""), work)
    except NotTaken as error:
        for name, words in error.problems.items():
            told = _must(context, error.code or name) or words
            context.say("settings.not_taken", good=False, name=_named(context, name), words=told)
    except Overtaken:
        context.say("settings.overtaken", good=False)
    except editing.NoSuchThing:
        raise NotFound from None
    else:
        context.say("settings.saved")


def _named(context: RequestContext, name: str) -> str:
    key = f"settings.note.{name}" if name in NOTE_FIELDS else f"settings.field.{name}"
    return str(context.texts(key)) if context.texts.has(key) else name


def _must(context: RequestContext, what: str) -> str:
    """What is asked of a field, in the reader's words and units; "" where a form leaves no way to miss it."""
    key = f"settings.must.{'price' if what in forms.PRICES else 'note' if what in NOTE_FIELDS else what}"
    least, most = context.texts.price(file_fields.MIN_PRICE), context.texts.price(file_fields.MAX_PRICE)
    return str(context.texts(key, least=least, most=most, longest=MAX_NOTE)) if context.texts.has(key) else ""


def _of_form(context: RequestContext, problems: list[str]) -> list[str]:
    """What is wrong with keys that were typed: the file's rules are asked in a file's words, nobody here wrote one."""
    told = []
    for words in problems:
        name, rest = found.groups() if (found := _OF_KEYS.fullmatch(words)) else ("", words)
        if name and (must := _must(context, name)):
            told.append(f"{context.texts(f'settings.{name}')}: {must}")
        else:
            of_field = (
                f"{context.texts(f'settings.{name}')}: {rest}" if context.texts.has(f"settings.{name}") else words
            )
            told.append(f"{context.texts('settings.told_in_english')} {of_field}")
    return told


def _note(field: str) -> None:
    if field not in NOTE_FIELDS:
        raise BadRequest
