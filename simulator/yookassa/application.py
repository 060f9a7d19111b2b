"""Puts the API, the payment page and the control API into one WSGI application; answers what none of them knows."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from simulator.yookassa.api import JSON_TYPE, RESET_MARK
from simulator.yookassa.problems import NOT_FOUND, Problem
from simulator.yookassa.wire import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def build_app(blueprints: Iterable[Blueprint], error_id: Callable[[], str]) -> Flask:
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for blueprint in blueprints:
        app.register_blueprint(blueprint)

    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        problem = NOT_FOUND if status == NOT_FOUND.status else Problem(status, "invalid_request", error.name)
        return Response(msgspec.json.encode(problem.body(error_id())), status, content_type=JSON_TYPE)

    app.register_error_handler(HTTPException, http_error)
    return app


def breakable(app: Flask) -> "WSGIApplication":
    """The application, raising ConnectionResetError in place of an answer that a fault breaks."""

    def call(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chunks = app.wsgi_app(environ, start)
        if environ.get(RESET_MARK):
            raise ConnectionResetError("a fault breaks this connection")
        return chunks

    return call
