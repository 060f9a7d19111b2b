"""POST /v1/yook-pay-webhook: stores the notification, answers 200, wakes the worker; believes nothing of it."""

import logging
from datetime import datetime

from flask import Blueprint, Response, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.group_commit import ring
from cloud.database.plain_rows import insert_if_new
from cloud.http.addresses import Network
from cloud.orders.status_change import tell
from cloud.payments.models import ProviderNews
from cloud.payments.status_poller import NEWS, ask_at_once
from cloud.payments.unplaced import ADOPTED, has_payment
from cloud.payments.yookassa.authenticity import (
    MAX_NOTIFICATION_BYTES,
    NotANotification,
    Notification,
    is_from_provider,
    parse_notification,
)

log = logging.getLogger("cloud.payments.yookassa.webhook")

MAX_UNPLACED = 10_000
"""Notifications of payments we do not know that wait to be looked at; beyond it they are refused, and come again."""


def create_blueprint(
    database: Database, clock: Clock, trusted_proxies: tuple[Network, ...], senders: tuple[Network, ...] | None
) -> Blueprint:
    """The provider's door. `senders` None switches the address check off."""
    blueprint = Blueprint("webhook", __name__)

    @blueprint.post("/v1/yook-pay-webhook", strict_slashes=False)
    def yookassa_webhook() -> Response:
        forwarded = request.headers.get("X-Forwarded-For")
        if not is_from_provider(request.remote_addr, forwarded, trusted_proxies, senders):
            log.warning("notification from a stranger's address", extra={"remote": request.remote_addr})
            return _answer(403, "not a provider's address")
        body = request.get_data(cache=False)[: MAX_NOTIFICATION_BYTES + 1]
        try:
            told = parse_notification(body)
        except NotANotification as error:
            log.warning("not a notification: %s", error, extra={"remote": request.remote_addr})
            return _answer(400, str(error))
        stored = database.write(store, told, _storable(body), clock())
        return _answer(200, "stored") if stored else _answer(503, "too many unknown notifications")

    return blueprint


def store(session: Session, told: Notification, body: str, now: datetime) -> bool:
    """Keep the notification and let the payment it names be asked about at once. False: no room for strangers' news.

    A repeat is counted, and asks again: its key could have been forged ahead of the real one.
    """
    known = told.payment_id is not None and ask_at_once(session, told.payment_id, now)
    if told.payment_id is not None and not known:
        ring(session, NEWS)
    placed = known or told.payment_id is None
    ours = told.our_payment if not placed and has_payment(session, told.our_payment) else ""
    if not placed and not ours and _is_full_for(session, told.dedupe_key):
        return False
    news = {
        "provider": "yookassa", "dedupe_key": told.dedupe_key, "provider_payment_id": told.payment_id or "",
        "our_payment": ours, "body": body, "received_at": now, "look_at": now,
        "handled_at": now if placed else None, "times": 1, "verdict": "asked" if known else "",
    }  # fmt: skip
    if insert_if_new(session, ProviderNews, news):
        tell(session, log.info, "notification stored", extra={"event": told.event, "provider_payment": told.payment_id})
    else:
        _count_repeat(session, told, body, known, ours, now)
    return True


def _count_repeat(session: Session, told: Notification, body: str, known: bool, ours: str, now: datetime) -> None:
    repeated = select(ProviderNews).where(ProviderNews.dedupe_key == told.dedupe_key).with_for_update()
    news = session.scalars(repeated).one()
    news.times += 1
    if not known and told.payment_id is not None and news.verdict != ADOPTED:
        news.body, news.look_at, news.handled_at = body, now, None
        news.our_payment = ours


def _is_full_for(session: Session, dedupe_key: str) -> bool:
    """No room for one more notification that nobody can place; a repeat takes none."""
    waiting = select(func.count()).select_from(ProviderNews).where(ProviderNews.handled_at.is_(None))
    if int(session.scalar(waiting) or 0) < MAX_UNPLACED:
        return False
    return session.scalar(select(ProviderNews.id).where(ProviderNews.dedupe_key == dedupe_key)) is None


def _storable(body: bytes) -> str:
    """The body as text any database takes: JSON may come as UTF-16, whose zeros PostgreSQL refuses."""
    return body.decode("utf-8", "replace").replace("\0", "\ufffd")


def _answer(status: int, words: str) -> Response:
    return Response(words + "\n", status, mimetype="text/plain")
