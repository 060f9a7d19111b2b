"""The phones of these tests: who does not say that it is a stranger has scanned the usual orders at their machine."""

from datetime import timedelta
from typing import Any

from flask import Flask

from cloud.buyer.capability import COOKIE, NOTHING
from cloud.buyer.services import Services
from tests.cloud.buyer.orders import DEVICE, START, TestClock

STRANGER = "tests.stranger"
USUAL = ("o-1", "a/b")
A_MOMENT = timedelta(seconds=1)
"""Nobody pays in the very moment of the scan."""


class PhonesThatScanned:
    """Every phone here has scanned the usual orders at their machine, unless it says that it is a stranger's."""

    def __init__(self, app: Flask, services: Services, clock: TestClock) -> None:
        self._wsgi, self._services, self._clock = app.wsgi_app, services, clock

    def __call__(self, environ: Any, start_response: Any) -> Any:
        cookies = environ.get("HTTP_COOKIE", "")
        if STRANGER not in environ and f"{COOKIE}=" not in cookies:
            held = NOTHING.at_machine(DEVICE, self._clock(), is_signed=False)
            for order_id in USUAL:
                held = held.holding(order_id, START - A_MOMENT, is_signed=False)
            environ["HTTP_COOKIE"] = "; ".join(filter(None, (cookies, f"{COOKIE}={self._services.seal.write(held)}")))
        return self._wsgi(environ, start_response)
