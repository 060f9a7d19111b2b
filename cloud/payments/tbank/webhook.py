"""POST /v1/tbank-webhook: stores a notification that is signed, answers `OK`, wakes the worker; believes nothing of it.

T-Bank repeats until the answer is exactly `OK`, so `OK` is said once it is stored, and never before.
"""

import logging
from datetime import datetime

from flask import Blueprint, Response, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.group_commit import ring
from cloud.database.plain_rows import insert_if_new
from cloud.payments.models import ProviderNews
from cloud.payments.provider_clients import NoCredential, Shops
from cloud.payments.status_poller import NEWS, ask_at_once
from cloud.payments.tbank.client import TBankClient
from cloud.payments.tbank.notification import (
    MAX_NOTIFICATION_BYTES,
    NotANotification,
    Notification,
    parse_notification,
)
from cloud.payments.unplaced import ADOPTED, has_payment

log = logging.getLogger("cloud.payments.tbank.webhook")

PATH = "/v1/tbank-webhook"
MAX_UNPLACED = 10_000
"""Notifications of payments we do not know that wait to be looked at; beyond it they are refused, and come again."""


def create_blueprint(database: Database, shops: Shops, clock: Clock) -> Blueprint:
    """The bank's door. Its networks are not published; the Token, made with the terminal's password, is the check."""
    blueprint = Blueprint("tbank_webhook", __name__)

    @blueprint.post(PATH, strict_slashes=False)
    def tbank_webhook() -> Response:
        try:
            told = parse_notification(request.get_data(cache=False)[: MAX_NOTIFICATION_BYTES + 1])
        except NotANotification as error:
            log.warning("not a notification: %s", error, extra={"remote": request.remote_addr})
            return _answer(400, str(error))
        if not _is_genuine(shops, told):
            log.warning("notification with a wrong token", extra={"remote": request.remote_addr})
            return _answer(403, "wrong token")
        stored = database.write(store, told, clock())
        return _answer(200, "OK") if stored else _answer(503, "too many unknown notifications")

    return blueprint


def store(session: Session, told: Notification, now: datetime) -> bool:
    """Keep the notification and let the payment it names be asked about at once. False: no room for unknown ones."""
    ring(session, NEWS)
    known = told.payment_id is not None and ask_at_once(session, told.payment_id, now)
    placed = known or told.payment_id is None
    ours = told.our_payment if not placed and has_payment(session, told.our_payment) else ""
    if not placed and not ours and _is_full_for(session, told.dedupe_key):
        return False
    news = {
        "provider": "tbank",
        "dedupe_key": told.dedupe_key,
        "provider_payment_id": told.payment_id or "",
        "our_payment": ours,
        "body": told.kept(),
        "received_at": now,
        "look_at": now,
        "handled_at": now if placed else None,
        "times": 1,
        "verdict": "asked" if known else "",
    }
    if insert_if_new(session, ProviderNews, news):
        log.info("notification stored", extra={"event": told.status, "provider_payment": told.payment_id})
    else:
        _count_repeat(session, told, placed, now)
    return True


def _is_genuine(shops: Shops, told: Notification) -> bool:
    """Signed with the password of the terminal it speaks for, and that terminal is a merchant's of ours."""
    try:
        client = shops.of_account(told.terminal)
    except NoCredential as error:
        log.error("%s", error)
        return False
    return isinstance(client, TBankClient) and told.is_from(client.shop.secret_key)


def _count_repeat(session: Session, told: Notification, placed: bool, now: datetime) -> None:
    repeated = select(ProviderNews).where(ProviderNews.dedupe_key == told.dedupe_key).with_for_update()
    news = session.scalars(repeated).one()
    news.times += 1
    if not placed and news.verdict != ADOPTED:
        news.look_at, news.handled_at = now, None


def _is_full_for(session: Session, dedupe_key: str) -> bool:
    waiting = select(func.count()).select_from(ProviderNews).where(ProviderNews.handled_at.is_(None))
    if int(session.scalar(waiting) or 0) < MAX_UNPLACED:
        return False
    return session.scalar(select(ProviderNews.id).where(ProviderNews.dedupe_key == dedupe_key)) is None


def _answer(status: int, words: str) -> Response:
    """The body is the words and nothing else: `OK` with a line's end is no `OK`."""
    return Response(words, status, mimetype="text/plain")
