"""POST /v1/custom-callback: news from a merchant's own payment page. Signed, in time, said once: stored, 200.

What was stored decides nothing here: the worker asks (`custom.py`), at the merchant's status address or, where there
is none, among these callbacks.
"""

import logging
from datetime import datetime

import msgspec
from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.plain_rows import insert_if_new
from cloud.orders.models import Payment
from cloud.payments.models import ProviderNews
from cloud.payments.own_page.ledger_view import CUSTOM
from cloud.payments.own_page.objects import Told, Unreadable, note_of, told_of
from cloud.payments.own_page.signature import NotSigned, Purpose, WronglySigned, check, payload_of
from cloud.payments.provider_clients import NoCredential, Shops
from cloud.payments.status_poller import ask_at_once

log = logging.getLogger("cloud.payments.own_page.callback")

PATH = "/v1/custom-callback"
MAX_BODY = 64 * 1024
MAX_AGE_S = 300
"""How far a callback's time may be from ours, either way. A repeat is signed anew."""
MIN_NONCE = 16


class Refused(Exception):
    """The callback is not taken: the HTTP status, and a code for the merchant's programmer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def create_blueprint(database: Database, shops: Shops, clock: Clock) -> Blueprint:
    """The merchants' door."""
    blueprint = Blueprint("custom_callback", __name__)

    @blueprint.post(PATH, strict_slashes=False)
    def custom_callback() -> tuple[Response, int]:
        try:
            told = _authentic(shops, request.get_data(cache=False)[: MAX_BODY + 1], clock())
            database.write(store, told, clock())
        except Refused as refused:
            log.warning("callback refused: %s", refused.code, extra={"remote": request.remote_addr})
            return jsonify(error={"code": refused.code, "message": f"refused: {refused.code}"}), refused.status
        return jsonify(status="stored"), 200

    return blueprint


def store(session: Session, told: Told, now: datetime) -> None:
    """Keep it and have the payment looked at. The same again is counted; its nonce with other words is refused."""
    payment = _payment_of(session, told)
    # Anew, so that only what we know of is kept, and no character a database would refuse.
    body = msgspec.json.encode(msgspec.structs.replace(told, time=0)).decode()
    news = {
        "provider": CUSTOM, "dedupe_key": f"custom|{told.account}|{told.nonce}", "provider_payment_id": told.payment,
        "body": body, "received_at": now, "look_at": now, "handled_at": now, "times": 1,
        "verdict": "asked" if payment is not None else "no such payment",
    }  # fmt: skip
    if not insert_if_new(session, ProviderNews, news):
        _count_repeat(session, str(news["dedupe_key"]), body)
    elif payment is None:
        log.error("signed callback of a payment that is not ours", extra={"provider_payment": told.payment})
    else:
        log.info("callback stored", extra={"order_id": payment.order_id, "event": told.status})
        if told.status == "succeeded" and payment.state in {"canceled", "refused"}:
            words = "money was taken for a payment that was over, a person must look"
            log.error(words, extra={"order_id": payment.order_id})
    if payment is not None:
        ask_at_once(session, told.payment, now)


def _authentic(shops: Shops, body: bytes, now: datetime) -> Told:
    """What was said, certainly by the merchant it speaks for, and lately. Raises `Refused`."""
    try:
        payload, signature = payload_of(body)
        account = note_of(payload).account
        check(_secret_of(shops, account), Purpose.CALLBACK, payload, signature)
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


def _secret_of(shops: Shops, account: str) -> str:
    """The key this account signs with. A stranger is refused like a wrong signature: who is known is not told."""
    try:
        client = shops.of_account(account, CUSTOM)
    except NoCredential as error:
        log.error("%s", error)
        client = None
    if client is None:
        raise Refused(403, "wrong_signature")
    return client.shop.secret_key


def _payment_of(session: Session, told: Told) -> Payment | None:
    named = select(Payment).where(Payment.provider_payment_id == told.payment, Payment.scenario == CUSTOM)
    return session.scalars(named.where(Payment.account_id == told.account).with_for_update()).first()


def _count_repeat(session: Session, dedupe_key: str, body: str) -> None:
    heard = session.scalars(select(ProviderNews).where(ProviderNews.dedupe_key == dedupe_key).with_for_update()).one()
    if heard.body != body:
        raise Refused(409, "nonce_used")
    heard.times += 1
