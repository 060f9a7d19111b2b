"""POST /v1/yook-pay-webhook: lets YooKassa's notifications in, as far as their addresses tell, and answers 200."""

import logging

from flask import Blueprint, Response, request

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.http.addresses import Network
from cloud.payments import inbox
from cloud.payments.inbox import Reception
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, NotANotification
from cloud.payments.refused_call import refused
from cloud.payments.yookassa.notification import is_from_provider, parse_notification

log = logging.getLogger("cloud.payments.yookassa.webhook")


def create_blueprint(
    database: Database, clock: Clock, trusted_proxies: tuple[Network, ...], senders: tuple[Network, ...] | None
) -> Blueprint:
    """The provider's endpoint. `senders` None switches the address check off."""
    blueprint = Blueprint("webhook", __name__)

    @blueprint.post("/v1/yook-pay-webhook", strict_slashes=False)
    def yookassa_webhook() -> Response:
        forwarded = request.headers.get("X-Forwarded-For")
        if not is_from_provider(request.remote_addr, forwarded, trusted_proxies, senders):
            log.warning("notification from a stranger's address", extra={"remote": request.remote_addr})
            return refused(403, "not_a_provider", "not a provider's address")
        try:
            notification = parse_notification(request.get_data(cache=False)[: MAX_NOTIFICATION_BYTES + 1])
        except NotANotification as error:
            log.warning("not a notification: %s", error, extra={"remote": request.remote_addr})
            return refused(400, "not_a_notification", str(error))
        if inbox.take_in(database, notification, clock()) is Reception.NO_ROOM:
            return refused(503, "too_many_unknown", "too many unknown notifications")
        return Response("stored\n", mimetype="text/plain")

    return blueprint
