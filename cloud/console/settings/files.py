"""A merchant's part of the fleet as `fleet.toml`: out, and in again. Keys at providers go neither way."""

from contextlib import closing
from dataclasses import dataclass

from flask import Response, request
from sqlalchemy.orm import Session

from cloud.access.acts import Act
from cloud.console.shell.request_context import Done, RequestContext
from cloud.courier.broker_address import own_names
from cloud.database.transaction import Transaction
from cloud.fleet import snapshots
from cloud.fleet.apply import OnlyLooking, Report, apply_in
from cloud.fleet.editing import CONTRACT
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_export import export
from cloud.fleet.fleet_file import FleetFile, FleetFileError, read_fleet
from cloud.fleet.models import Device, Merchant
from cloud.fleet.vault import Vault
from cloud.orders.at_risk import unsettled

MOST = 3_500_000
"""Bytes of a file: `MAX_FILE` for the page that shows it, whose form has longer ends of lines."""


@dataclass(frozen=True)
class Loaded:
    """What a file did, or would do."""

    text: str
    problems: tuple[str, ...] = ()
    report: Report | None = None
    is_done: bool = False


def download(session: Session, merchant_id: str) -> Response:
    """The file."""
    response = Response(export(session, [merchant_id]), mimetype="application/toml")
    response.headers["Content-Disposition"] = f'attachment; filename="fleet-{merchant_id}.toml"'
    return response


def load(context: RequestContext, merchant_id: str) -> Loaded:
    """Look at a file, or (`go`) take it. Of no other merchant it may say anything."""
    text = _sent()
    if len(text.encode()) > MOST:
        return Loaded("", (str(context.texts("settings.import_too_large")),))
    goes, by_hand = "go" in request.form, _chosen()
    settings = context.cloud.settings
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    reserved = own_names(settings.mqtt_url, settings.mqtt_user)

    def work(tx: Transaction) -> Done[Report]:
        file = read_fleet(text, {}, with_accounts=False, reserved=reserved)
        _only_of(tx.session, file, merchant_id)
        was = snapshots.take(tx.session, merchant_id) if goes else {}
        merchant = tx.session.get_one(Merchant, merchant_id, with_for_update=True)
        contract = merchant.valid_until
        report = apply_in(tx, vault, file, unsettled, by_hand, context.now, dry_run=not goes)
        if merchant.valid_until != contract and not context.may(Act.RUN_PLATFORM):
            file.problem(("merchant", 0, CONTRACT), f"only the platform changes it, and it is {contract or 'not set'}")
            file.refuse_if_wrong()
        if not goes:
            raise OnlyLooking(report)
        tx.session.flush()
        return Done(report, *snapshots.difference(was, snapshots.take(tx.session, merchant_id)))

    try:
        return Loaded(text, report=context.perform(Act.IMPORT_FLEET, context.about(), "", work), is_done=True)
    except OnlyLooking as looked:
        return Loaded(text, report=looked.report)
    except FleetFileError as error:
        return Loaded(text, tuple(error.problems))


def _sent() -> str:
    upload = request.files.get("file")
    if upload is not None and upload.filename:
        with closing(upload):  # a large one lies on the disk
            sent: bytes = upload.read()
        return sent.decode("utf-8-sig", "replace")
    return request.form.get("text", "").replace("\r\n", "\n")


def _chosen() -> ByHand:
    wanted = request.form.get("by_hand", "")
    return ByHand(wanted) if wanted in set(ByHand) else ByHand.REFUSE


def _only_of(session: Session, file: FleetFile, merchant_id: str) -> None:
    for index, name in enumerate(file.merchants):
        if name != merchant_id:
            file.problem(("merchant", index, "id"), f'only merchant "{merchant_id}" can be loaded here')
    for device in file.devices:
        known = session.get(Device, device.device_uuid)
        owners = {device.values.get("merchant_id", merchant_id), known.merchant_id if known else merchant_id}
        if owners != {merchant_id}:
            file.problem((*device.place, "merchant"), f'only machines of "{merchant_id}" can be loaded here')
    file.refuse_if_wrong()
