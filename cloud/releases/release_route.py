"""GET /v1/agent/VERSION: a bundle for any caller. Its signature is what counts, so no caller has to name itself."""

import threading
from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from sqlalchemy import select

from cloud.background.loops import Clock
from cloud.buyer.limits import RateLimit
from cloud.database.database import Database
from cloud.http.addresses import network_of
from cloud.payments.rate import TokenBucket
from cloud.releases.models import Release
from protocol.bundle import number
from protocol.errors import Malformed

PATH = "/v1/agent"
OF_ADDRESS_PER_S, OF_ADDRESS_BURST = 0.5, 20
"""Answers to one address: a rollout asks twenty machines at a time, which may all be behind one."""
A_SECOND, AT_ONCE = 5.0, 40.0
"""Answers of one process: a bundle may have 8 MiB."""


def url_of(public_url: str, version: str) -> str:
    return f"{public_url.rstrip('/')}{PATH}/{version}"


def create_blueprint(database: Database, clock: Clock, visitor: Callable[[], str]) -> Blueprint:
    """The shelf. One bundle is kept in memory: a rollout has all machines ask for the same.

    `visitor` tells the caller's address. A whole IPv6 /48 counts as one, as for codes of enrolment.
    """
    blueprint = Blueprint("releases", __name__)
    of_address = RateLimit(OF_ADDRESS_BURST, OF_ADDRESS_PER_S)
    bucket, lock = TokenBucket(A_SECOND, AT_ONCE), threading.Lock()
    kept: dict[str, bytes] = {}

    def is_known(version: str) -> bool:
        try:
            number(version)
        except Malformed:
            return False
        if version in kept:
            return True
        with database.read() as session:
            return session.scalar(select(Release.version).where(Release.version == version)) is not None

    def content_of(version: str) -> bytes:
        content = kept.get(version)
        if content is None:
            with database.read() as session:
                content = session.scalars(select(Release.bundle).where(Release.version == version)).one()
            kept.clear()
            kept[version] = content
        return content

    def wait() -> float:
        """Return the seconds until the caller may ask again; 0: it has its answer."""
        address, now = network_of(visitor()) or visitor(), clock()
        if not of_address.allows(address, now):
            return 1 / OF_ADDRESS_PER_S
        with lock:
            seconds = bucket.take(now.timestamp())
        if seconds:
            of_address.give_back(address)
        return seconds

    @blueprint.get(f"{PATH}/<version>")
    def fetch(version: str) -> tuple[Response, int] | Response:
        if not is_known(version):
            return _error("not_found", "there is no such version"), 404
        if seconds := wait():
            answer = _error("too_often", "ask again in a moment")
            answer.headers["Retry-After"] = str(int(seconds) + 1)
            return answer, 429
        answer = Response(content_of(version), mimetype="application/octet-stream")
        answer.headers["Cache-Control"] = "public, max-age=86400, immutable"
        return answer

    return blueprint


def _error(code: str, message: str) -> Response:
    return jsonify(error={"code": code, "message": message})
