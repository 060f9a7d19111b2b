"""POST /v1/tbank-webhook: lets T-Bank's notifications in that are signed by a terminal of ours, and answers `OK`.

T-Bank repeats until the answer is exactly `OK`, so `OK` is said once it is stored, and never before.
"""

import logging

from flask import Blueprint, Response, request

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.payments import inbox
from cloud.payments.inbox import Reception
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, NotANotification
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.refused_call import refused
from cloud.payments.tbank.notification import Message, parse_message

log = logging.getLogger("cloud.payments.tbank.webhook")

PATH = "/v1/tbank-webhook"
SCENARIO = "TBank"
"""Of accounts that are terminals at this bank."""
OK = "OK"
"""The whole body: with a line's end it is no `OK`."""


def create_blueprint(database: Database, clients: ProviderClients, clock: Clock) -> Blueprint:
    """The bank's endpoint. Its networks are not published: the check is its Token, by the terminal's password."""
    blueprint = Blueprint("tbank_webhook", __name__)

    @blueprint.post(PATH, strict_slashes=False)
    def tbank_webhook() -> Response:
        try:
            message = parse_message(request.get_data(cache=False)[: MAX_NOTIFICATION_BYTES + 1])
        except NotANotification as error:
            log.warning("not a notification: %s", error, extra={"remote": request.remote_addr})
            return refused(400, "not_a_notification", str(error))
        if not _is_genuine(clients, message):
            log.warning("notification with a wrong token", extra={"remote": request.remote_addr})
            return refused(403, "wrong_token", "wrong token")
        if inbox.take_in(database, message.notification(), clock()) is Reception.NO_ROOM:
            return refused(503, "too_many_unknown", "too many unknown notifications")
        return Response(OK, mimetype="text/plain")

    return blueprint


def _is_genuine(clients: ProviderClients, message: Message) -> bool:
    """Signed with a password that a merchant of ours has for this terminal.

    Others can say that it is theirs, so it is not judged by one password alone. What they sign themselves decides
    nothing: the bank is asked.
    """
    return any(message.is_from(client.shop.secret_key) for client in clients.all_of_account(message.terminal, SCENARIO))
