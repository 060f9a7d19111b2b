"""The demo's front page: where everything is, in the order a buyer meets it."""

import threading
from dataclasses import dataclass

from flask import Flask, Response, render_template
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from simulator.demo.fleet import DEVICE
from simulator.demo.stage import OPERATOR, OPERATOR_PASSWORD, Stage
from simulator.yookassa.server import YooKassaSimulator


@dataclass(frozen=True)
class Newest:
    """Addresses of one order: its own page, and where it is paid."""

    order: str
    payment: str


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


def create_app(stage: Stage) -> Flask:
    """One page and its style."""
    app = Flask(__name__)

    @app.get("/")
    def front() -> str:
        return render_template(
            "front.html", machine=stage.machine.url, cloud=stage.cloud_url, menu=f"{stage.cloud_url}/m/{DEVICE}",
            books=f"{stage.yookassa.address}/sim/books?newest=20", broker=stage.broker,
            messengers=stage.messengers.address,
            console=f"{stage.cloud_url}/console/login", operator=OPERATOR, password=OPERATOR_PASSWORD,
            newest=_newest(stage.yookassa),
        )  # fmt: skip

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    return app


def _newest(provider: YooKassaSimulator) -> Newest | None:
    """The order that was begun last; None before anybody was to pay."""
    payments, _, _ = provider.provider.snapshot()
    asked = payments[-1][0].request.confirmation if payments else None
    if asked is None or asked.return_url is None:  # of the month that was made up
        return None
    return Newest(asked.return_url, provider.page_url(payments[-1][0].id))


def serve(stage: Stage, port: int) -> BaseWSGIServer:
    """Start serving in the background."""
    server = make_server("127.0.0.1", port, create_app(stage), threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="front", daemon=True).start()
    return server
