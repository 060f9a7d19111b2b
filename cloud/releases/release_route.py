"""GET /v1/agent/VERSION: a bundle for whoever asks. Its signature is what counts, so nobody has to say who he is."""

import threading
import time

from flask import Blueprint, Response, jsonify
from sqlalchemy import select

from cloud.database.database import Database
from cloud.payments.rate import TokenBucket
from cloud.releases.models import Release
from protocol.bundle import number
from protocol.errors import Malformed

PATH = "/v1/agent"
A_SECOND, AT_ONCE = 5.0, 40.0
"""Answers of one process: a rollout asks twenty machines at a time."""


def url_of(public_url: str, version: str) -> str:
    return f"{public_url.rstrip('/')}{PATH}/{version}"


def create_blueprint(database: Database) -> Blueprint:
    """The shelf. One bundle is kept in memory: a rollout has all machines ask for the same."""
    blueprint = Blueprint("releases", __name__)
    bucket, lock = TokenBucket(A_SECOND, AT_ONCE), threading.Lock()
    kept: dict[str, bytes] = {}

    def content_of(version: str) -> bytes | None:
        if version not in kept:
            with database.read() as session:
                found = session.scalar(select(Release.bundle).where(Release.version == version))
            if found is None:
                return None
            kept.clear()
            kept[version] = found
            return found
        return kept.get(version)

    @blueprint.get(f"{PATH}/<version>")
    def fetch(version: str) -> tuple[Response, int] | Response:
        try:
            number(version)
        except Malformed:
            return _error("not_found", "there is no such version"), 404
        with lock:
            wait = bucket.take(time.monotonic())
        if wait:
            answer = _error("too_often", "ask again in a moment")
            answer.headers["Retry-After"] = str(int(wait) + 1)
            return answer, 429
        content = content_of(version)
        if content is None:
            return _error("not_found", "there is no such version"), 404
        answer = Response(content, mimetype="application/octet-stream")
        answer.headers["Cache-Control"] = "public, max-age=86400, immutable"
        return answer

    return blueprint


def _error(code: str, message: str) -> Response:
    return jsonify(error={"code": code, "message": message})
