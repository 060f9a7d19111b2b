"""POST /v1/custom-callback: lets callbacks of merchants' own payment pages in, signed, in time and said once.

What is stored decides nothing: the client asks at the merchant's status address or, where there is none, reads these
callbacks.
"""

import logging
from datetime import datetime

import msgspec
from flask import Blueprint, Response, jsonify, request

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.fleet.custom_account import CUSTOM
from cloud.payments import inbox
from cloud.payments.custom.objects import Told, Unreadable, note_of, told_of
from cloud.payments.custom.signature import NotSigned, Purpose, WronglySigned, check, payload_of
from cloud.payments.inbox import Reception
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, Notification
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.refused_call import refused

log = logging.getLogger("cloud.payments.own_page.callback")  # operators filter by it

PATH = "/v1/custom-callback"
MAX_AGE_S = 300
"""How far a callback's time may be from ours, either way. A repeat is signed anew."""
MIN_NONCE = 16


class Refused(Exception):
    """The callback is not taken: the HTTP status, and a code for the merchant's programmer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def create_blueprint(database: Database, clients: ProviderClients, clock: Clock) -> Blueprint:
    """The merchants' endpoint."""
    blueprint = Blueprint("custom_callback", __name__)

    @blueprint.post(PATH, strict_slashes=False)
    def custom_callback() -> Response:
        try:
            told = _authentic(clients, request.get_data(cache=False)[: MAX_NOTIFICATION_BYTES + 1], clock())
            _take(inbox.take_in(database, _notification(told), clock()))
        except Refused as why:
            log.warning("callback refused: %s", why.code, extra={"remote": request.remote_addr})
            return refused(why.status, why.code, f"refused: {why.code}")
        return jsonify(status="stored")

    return blueprint


def _take(reception: Reception) -> None:
    """Raises `Refused` for what the inbox did not keep."""
    match reception:
        case Reception.NO_ROOM:
            raise Refused(503, "too_many_unknown")
        case Reception.KEY_USED:
            raise Refused(409, "nonce_used")


def _notification(told: Told) -> Notification:
    """What it says, for the inbox. Written anew: only what we know of is kept."""
    body = msgspec.json.encode(msgspec.structs.replace(told, time=0)).decode()
    return Notification(
        CUSTOM, told.status, f"custom|{told.account}|{told.nonce}", told.payment, told.account, body,
        is_signed=True, is_key_theirs=True, is_read_back=True, says_paid=told.status == "succeeded",
    )  # fmt: skip


def _authentic(clients: ProviderClients, body: bytes, now: datetime) -> Told:
    """What was said, certainly by the merchant it speaks for, and lately. Raises `Refused`."""
    try:
        payload, signature = payload_of(body)
        account = note_of(payload).account
        check(_secret_of(clients, account), Purpose.CALLBACK, payload, signature)
        told = told_of(payload)
    except Unreadable as error:
        log.warning("callback cannot be read: %s", error)
        raise Refused(400, "unreadable") from None
    except WronglySigned:
        raise Refused(403, "wrong_signature") from None
    except NotSigned:
        raise Refused(400, "not_signed") from None
    if abs(now.timestamp() - told.time) > MAX_AGE_S:
        raise Refused(403, "stale")
    if len(told.nonce) < MIN_NONCE:
        raise Refused(400, "nonce_too_short")
    return told


def _secret_of(clients: ProviderClients, account: str) -> str:
    """The key this account signs with. A stranger is refused like a wrong signature: no answer names the known ones."""
    try:
        client = clients.of_account(account, CUSTOM)
    except NoCredential as error:
        log.error("%s", error)
        client = None
    if client is None:
        raise Refused(403, "wrong_signature")
    return client.shop.secret_key
