"""The buyer's pages as a small application, over a real database, on a real port where a test asks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, jsonify, redirect, request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer import render_http_error
from cloud.buyer.blueprint import create_blueprint, guard, status_endpoint
from cloud.buyer.limits import RateLimit, Seats
from cloud.buyer.services import Services
from cloud.database.database import Database
from tests.cloud import migrated
from tests.cloud.buyer.orders import RULES, Orders, TestClock
from tests.cloud.buyer.phones import STRANGER, PhonesThatScanned

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PUBLIC_URL = "http://localhost"


@dataclass
class Counter:
    """Requests the application got, and what its pretended checkout answers."""

    paths: list[str] = field(default_factory=list)
    checkout_status: int = 200
    checkout_got: list[dict[str, Any]] = field(default_factory=list)

    def before(self, app: WSGIApplication) -> WSGIApplication:
        """The application, each of whose requests is counted."""

        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            self.paths.append(f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            return app(environ, start_response)

        return counted

    def of(self, part: str) -> int:
        return sum(part in path for path in list(self.paths))


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/coffee.db")
    migrated.bring(database)
    yield database
    database.close()


@pytest.fixture
def orders(database: Database, clock: TestClock) -> Orders:
    return Orders(database, clock)


@pytest.fixture
def services(database: Database, clock: TestClock) -> Services:
    ids = iter(f"menu-{number}" for number in range(1000))
    limit, seats = RateLimit(burst=5, per_s=1), Seats(total=3, per_address=2)
    return Services(database, RULES, clock, PUBLIC_URL, lambda: next(ids), new_orders=limit, streams=seats)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def app(services: Services, counter: Counter, clock: TestClock) -> Flask:
    app = Flask("buyer-alone", static_folder=None)
    app.register_blueprint(create_blueprint(services))
    app.register_error_handler(HTTPException, render_http_error)
    checkout = Blueprint("checkout", __name__)

    @checkout.post("/v1/initiate-payment")
    def initiate_payment() -> tuple[Response, int] | BaseResponse:
        counter.checkout_got.append(dict(request.get_json() if request.is_json else request.form))
        if counter.checkout_status != 200:
            return jsonify(error={"code": "expired", "message": "no"}), counter.checkout_status
        if request.is_json:
            return jsonify(redirect_url=request.host_url + "provider"), 200
        return redirect("/provider", 303)

    app.register_blueprint(guard(checkout, services))
    asked = PhonesThatScanned(app, services, clock)
    app.wsgi_app = counter.before(status_endpoint(asked, services))  # type: ignore[method-assign, assignment]  # Flask's way to wrap an app

    @app.get("/provider")
    def provider() -> str:
        return "<title>provider</title>pay here"

    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """Somebody far away, who has scanned nothing."""
    client = app.test_client()
    client.environ_base[STRANGER] = "1"
    return client


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The application on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="site")  # how late it may end
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
