"""Errors of the console as pages: in its language, with a way back. Each unexpected one is logged once, here."""

import logging
from urllib.parse import urlsplit

from flask import make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from cloud.console.shell.frame import Frame
from cloud.console.shell.guard import FRAGMENT, Guard, leave_for
from cloud.console.shell.request_context import address
from cloud.wiring import Cloud

log = logging.getLogger("cloud.console")

UNDONE = "undone"
"""In the address of the step-up's page: a form was sent, and is to be sent again."""
KNOWN = frozenset({400, 403, 404, 409, 429, 500, 503})


class Errors:
    """Handlers of the blueprint's errors."""

    def __init__(self, cloud: Cloud, frame: Frame, guard: Guard) -> None:
        self._cloud = cloud
        self._frame = frame
        self._guard = guard

    def known(self, error: HTTPException) -> BaseResponse:
        """Something asked that cannot be, or may not."""
        if isinstance(error, CSRFError):
            return self._page(400, "shell.error.csrf.text")
        return self._page(error.code or 500)

    def unknown(self, error: Exception) -> BaseResponse:
        """A fault of ours."""
        log.error("a console page failed", extra={"path": request.path[:200]}, exc_info=error)
        return self._page(503 if isinstance(error, SQLAlchemyError) else 500)

    def busy(self, _error: Exception) -> BaseResponse:
        """More logins at once than we have memory for."""
        return self._page(429)

    def confirmation(self, _error: Exception) -> BaseResponse:
        """To the step-up's page, and from there back."""
        if request.method == "GET" and FRAGMENT not in request.headers:
            back = request.full_path.rstrip("?")
        else:
            back = own_path(request.referrer or "", request.host)
        undone = None if request.method == "GET" else "yes"
        return leave_for(address("shell.confirm", next=back or None, **{UNDONE: undone}))

    def _page(self, code: int, text: str = "") -> BaseResponse:
        family = code if code in KNOWN else (500 if code >= 500 else 400)
        texts = self._frame.texts(self._guard.language(), self._cloud.clock())
        html = render_template(
            "console/shell/error.html", **self._frame.outside(texts), title=texts(f"shell.error.{family}"),
            text=texts(text or f"shell.error.{family}.text"), is_fragment=FRAGMENT in request.headers,
            here="",  # a page that is refused does not repeat its own address
        )  # fmt: skip
        return make_response(html, code)


def own_path(url: str, host: str) -> str:
    """The path of one of our own addresses; "" for anybody else's. The scheme may be another: a proxy speaks TLS."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return path if parts.netloc == host and is_inside(path) else ""


def is_inside(path: str) -> bool:
    """Whether this leads into the console, and nowhere else whatever a browser makes of it."""
    return (path == "/console" or path.startswith(("/console/", "/console?"))) and not set(path) & set("\\\r\n\t")
