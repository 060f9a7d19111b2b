"""GET /v1/order-status/<order_id> in front of Flask: what open pages ask each second, answered with the least there is.

Everything else goes on to the application, and so does whatever is odd: it finds the words for that.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from cloud.buyer.services import Services
from cloud.buyer.status_json import encoded, is_known, tag_of
from cloud.buyer.texts import Language, language_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/v1/order-status/"
ROUTE = f"{PATH}<order_id>"
"""As Flask names it, for metrics."""
LARGEST = 1200
"""Bytes that fit one packet: what is longer the application makes smaller."""
REMEMBERED = 256
"""Phones of one market ask in few different words."""


class StatusEndpoint:
    """Wraps the application. `headers` are those of every answer of it to a program."""

    def __init__(self, app: "WSGIApplication", services: Services, headers: Mapping[str, str]) -> None:
        self._app = app
        self._services = services
        self._headers = [*headers.items(), ("Content-Type", "application/json")]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request."""
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].startswith(PATH):
            told = self._told(environ)
            if told is not None:
                return self._answer(*told, environ.get("HTTP_IF_NONE_MATCH", ""), start_response)
        return self._app(environ, start_response)

    def _told(self, environ: "WSGIEnvironment") -> tuple[int, bytes] | None:
        """The order's version and its JSON; None when it is not as simple as that."""
        visitor = self._services.visitor_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR"))
        if not self._services.looks.allows(visitor, self._services.clock()):
            return None
        order_id = environ["PATH_INFO"][len(PATH) :].encode("latin-1").decode("utf-8", "replace")
        try:
            view = self._services.find(order_id)
        except SQLAlchemyError:  # told, and logged, by the application, which finds the same
            return None
        if view is None:
            return None
        body = encoded(view, _language(environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT_LANGUAGE", "")))
        return (view.version, body) if len(body) <= LARGEST else None

    def _answer(self, version: int, body: bytes, known: str, start_response: "StartResponse") -> Iterable[bytes]:
        tag = tag_of(version, body)
        if is_known(tag, known):
            start_response("304 NOT MODIFIED", [*self._headers, ("ETag", tag)])
            return ()
        start_response("200 OK", [*self._headers, ("ETag", tag), ("Content-Length", str(len(body)))])
        return (body,)


@lru_cache(REMEMBERED)
def _language(query: str, accepted: str) -> Language:
    asked = parse_qs(query).get("lang", [None])[0]
    return language_of(asked, parse_accept_header(accepted, LanguageAccept))
