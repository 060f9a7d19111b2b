"""The Flask application: blueprints, limits, headers. Each package brings its own routes; only health lives here."""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from cloud import buyer
from cloud.background import heartbeat
from cloud.background.loops import ThreadPool
from cloud.buyer import render_error, render_http_error
from cloud.buyer.capability import Seal
from cloud.buyer.limits import RateLimit
from cloud.buyer.status_endpoint import ROUTE as STATUS_ROUTE
from cloud.console import create_blueprint as create_console
from cloud.courier import enrolment_route
from cloud.courier.tmetr.price import TmetrPrices
from cloud.fleet.models import Control
from cloud.fleet.qr_key import QrKeys
from cloud.http.addresses import client_address, network_of
from cloud.http.request_framing import MAX_BODY
from cloud.operators import metrics
from cloud.operators.counted_requests import CountedRequests
from cloud.operators.unaskable import Unaskable
from cloud.payments import checkout
from cloud.payments.custom import callback as custom_callback
from cloud.payments.tbank import webhook as tbank_webhook
from cloud.payments.yookassa import webhook
from cloud.releases import release_route
from cloud.settings import Settings
from cloud.wiring import Cloud, new_payment_id

log = logging.getLogger("cloud.processes.app")

STREAMS = 200
"""Event streams one process holds open; each takes a thread of the server, which has some more than these."""

VISITORS = 1024
"""Addresses remembered as they are written."""
LONGEST_REMEMBERED = 256
"""Letters of an X-Forwarded-For; a longer one is read each time."""
OPENING_SLOTS = 16
"""Payments one process opens at once."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}


def create_app(cloud: Cloud, streams: int = STREAMS) -> Flask:
    """The whole HTTP side of the cloud, with so many event streams at most."""
    app = Flask("cloud", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY
    settings = cloud.settings
    visitor_of = _visitors(settings)
    pool = ThreadPool("checkout", OPENING_SLOTS)
    checkouts = checkout.Checkout(
        cloud.database, cloud.clients, cloud.call_worker(pool), cloud.clock, new_payment_id,
        lambda: cloud.ending.is_begun,
    )  # fmt: skip
    cloud.ending.waits_for(pool.close)
    services = buyer.create_services(
        cloud.database, cloud.rules, cloud.clock, settings.public_url,
        streams=streams, visitor_of=visitor_of,
        qr_keys=QrKeys(settings.secret_key, settings.old_secret_keys),
        seal=Seal(settings.secret_key, settings.old_secret_keys), asks_machines=True,
        carrier_seen=lambda device: heartbeat.carrier_seen(
            cloud.database, cloud.clock(), by_broker=device.control == Control.AGENT
        ),
        tmetr_price=TmetrPrices(cloud.database, cloud.tmetr()).ask,
    )  # fmt: skip
    cloud.ending.at_once(lambda: services.versions.end())
    app.register_blueprint(buyer.create_blueprint(services))
    app.register_blueprint(buyer.guard(checkout.create_blueprint(checkouts), services))
    app.register_blueprint(
        webhook.create_blueprint(
            cloud.database, cloud.clock, settings.trusted_proxies, settings.yookassa_webhook_networks
        )
    )  # fmt: skip
    app.register_blueprint(tbank_webhook.create_blueprint(cloud.database, cloud.clients, cloud.clock))
    app.register_blueprint(custom_callback.create_blueprint(cloud.database, cloud.clients, cloud.clock))
    app.register_blueprint(_enrolment(cloud, services.visitor))
    app.register_blueprint(release_route.create_blueprint(cloud.database, cloud.clock, services.visitor))
    app.register_blueprint(
        metrics.create_blueprint(cloud.database, cloud.clock, settings.metrics_token, cloud.clients.unreadable)
    )
    app.register_blueprint(create_console(cloud, services.visitor))
    _add_health(app, cloud)
    _add_errors(app)
    app.after_request(_harden)
    app.wsgi_app = buyer.status_endpoint(app.wsgi_app, services, HEADERS)  # type: ignore[method-assign]  # Flask's way to wrap an app
    app.wsgi_app = CountedRequests(app.wsgi_app, cloud.counts, STATUS_ROUTE)  # type: ignore[method-assign]
    return app


def _enrolment(cloud: Cloud, visitor: Callable[[], str]) -> Blueprint:
    """A whole IPv6 /48 counts as one address: its holder would have the tries of 65 536."""
    codes = enrolment_route.codes_of(cloud.settings)
    tries = RateLimit(enrolment_route.WRONG_BURST, enrolment_route.WRONG_PER_S)
    return enrolment_route.create_blueprint(
        cloud.database, codes, cloud.settings, cloud.clock, tries, lambda: network_of(visitor()) or visitor()
    )


def _add_health(app: Flask, cloud: Cloud) -> None:
    @app.get("/health")
    def health() -> Response:
        return jsonify(status="healthy", timestamp=cloud.clock().isoformat())

    unaskable = Unaskable(cloud.database, cloud.clients)

    @app.get("/ready")
    def ready() -> tuple[Response, int]:
        clock = cloud.database.clock.complaint()
        warnings = [clock] if clock else []
        try:
            lacking = heartbeat.missing(cloud.database, cloud.clock())
            names_shops = metrics.may_see(cloud.settings.metrics_token)
            # Of one merchant's money: the others are served all the same.
            warnings += unaskable.warnings(cloud.clock(), names_shops=names_shops)
        except SQLAlchemyError as error:
            log.error("the database does not answer: %s", type(error).__name__)
            lacking = ["the database does not answer"]
        told = jsonify(status="ready" if not lacking else "not ready", missing=lacking, warnings=warnings)
        return told, 503 if lacking else 200


def _add_errors(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Any:
        return render_http_error(error)

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Any:
        log.error("request failed", extra={"path": request.path[:200]}, exc_info=error)
        is_database = isinstance(error, SQLAlchemyError)
        return render_error(503 if is_database else 500, looks_up=not is_database)


def _visitors(settings: Settings) -> Callable[[str, str | None], str]:
    """Tell the caller's address, for limits. Empty behind an unnamed proxy of this machine: all would be one."""

    def read(remote_address: str, forwarded_for: str | None) -> str:
        address = client_address(remote_address, forwarded_for, settings.trusted_proxies)
        return "" if address is None or address.is_loopback else str(address)

    remembered = lru_cache(VISITORS)(read)

    def visitor_of(remote_address: str, forwarded_for: str | None) -> str:
        is_short = len(forwarded_for or "") <= LONGEST_REMEMBERED
        return (remembered if is_short else read)(remote_address, forwarded_for)

    return visitor_of


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith("/static"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
