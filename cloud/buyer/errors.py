"""Error pages and error JSON, branded and translated (docs/http.md, bad input). Usable by handlers of the whole app."""

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Response, current_app, jsonify, make_response, render_template, request, url_for
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from cloud.buyer.assets import asset, style
from cloud.buyer.order_view import DeviceView
from cloud.buyer.texts import Language, Texts, language_of

log = logging.getLogger("cloud.buyer")

KNOWN = frozenset({400, 403, 404, 405, 409, 410, 413, 429, 500, 503})
"""Status codes with sentences of their own; others borrow from their class."""
GONE = 410
RETRY_AFTER_S = {429: 30, 503: 5}
CLAIM_PATH = "/v1/order-claim"
_PAGES = frozenset({"/v1/pay", "/v1/yook-pay", "/v1/tbank-pay", "/v1/order-status-page", CLAIM_PATH})


class Trouble(Exception):
    """A request that cannot be served: the status, a code for the sentence, and what the page can add."""

    def __init__(self, code: int, why: str, device: DeviceView | None = None, order_id: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.why = why
        self.device = device
        self.order_id = order_id


def render_trouble(trouble: Trouble) -> Response:
    """The answer to a `Trouble`."""
    return render_error(trouble.code, trouble.why, device=trouble.device, order_id=trouble.order_id)


def render_http_error(error: HTTPException) -> Response:
    """Answer werkzeug's errors (404, 405, 413, ...) and other blueprints' that say `why`; keep their headers."""
    why, order_id = getattr(error, "why", ""), getattr(error, "order_id", "")
    response = render_error(error.code or 500, why, order_id=order_id)
    for name, value in error.get_headers(request.environ):
        if name.lower() not in {"content-type", "content-length"}:
            response.headers.setdefault(name, value)
    return response


def render_error(
    code: int, why: str = "", *, device: DeviceView | None = None, order_id: str = "", looks_up: bool = True
) -> Response:
    """The error as a page for people, as JSON for programs. `why` names a sentence (`error.<why>`) where one fits.

    The machine it is about, if nobody names it, is looked for in what was asked; `looks_up` false where that is vain.
    """
    if device is None and looks_up and not wants_json():
        device, order_id = _about(order_id)
    texts = Texts(asked_language())
    family = code if code in KNOWN else (500 if code >= 500 else 400)
    text_key = f"error.{why}" if why and texts.has(f"error.{why}") else f"error.{family}.text"
    if wants_json():
        name = why or HTTPStatus(family).phrase.lower().replace(" ", "_")
        response = jsonify(error={"code": name, "message": str(texts(text_key))})
    else:
        response = make_response(_page(texts, family, text_key, device, order_id))
        if POLICY in current_app.extensions:
            response.headers["Content-Security-Policy"] = current_app.extensions[POLICY]
    response.status_code = code
    if code in RETRY_AFTER_S:
        response.headers["Retry-After"] = str(RETRY_AFTER_S[code])
    return response


DeviceOf = Callable[[str, str], "DeviceView | None"]
"""Finds the machine of an order id, or of a device's name."""
DEVICE_OF = "buyer.device_of"
"""Where the application keeps it (`Flask.extensions`)."""
POLICY = "buyer.policy"
"""Where it keeps the content policy of the buyer's pages: another one forbids the style they bring along."""


def _about(order_id: str) -> tuple[DeviceView | None, str]:
    """The machine this request is about, and the order's id if there is such an order."""
    device_of: DeviceOf | None = current_app.extensions.get(DEVICE_OF)
    if device_of is None:
        return None, order_id
    asked = {**request.args.to_dict(), **_form_fields(), **(request.view_args or {})}
    order_id = order_id or asked.get("order_id", "")
    device = device_of(order_id, "") if order_id else None
    if device is not None:
        return device, order_id
    return device_of("", asked.get("device_uuid") or asked.get("deviceUuid", "")), ""


def _form_fields() -> dict[str, str]:
    """The form's fields; none where it is the form that is wrong."""
    try:
        return request.form.to_dict()
    except HTTPException:
        return {}


def asked_language() -> Language:
    """The language of this request."""
    return language_of(request.args.get("lang"), request.accept_languages)


def wants_json() -> bool:
    """Programs get JSON: on the API's paths, or where they ask for it. A browser's plain form gets a page."""
    accepted = request.accept_mimetypes
    prefers_page = accepted.best_match(["application/json", "text/html"]) == "text/html" and "text/html" in str(
        accepted
    )
    if request.path.startswith("/v1/") and request.path not in _PAGES:
        is_form = request.mimetype in {"application/x-www-form-urlencoded", "multipart/form-data"}
        return not (prefers_page and request.method == "POST" and is_form)
    return not prefers_page and "application/json" in str(accepted)


def _status_page(order_id: str) -> str:
    return url_for("buyer.status_page", order_id=order_id, lang=request.args.get("lang"))


def _page(texts: Texts, family: int, text_key: str, device: DeviceView | None, order_id: str) -> str:
    return render_template(
        "buyer/error.html",
        t=texts,
        asset=asset,
        style=style,
        title_key=f"error.{family}.title",
        text_key=text_key,
        device=device,
        note=Markup(device.notes["client_error_info"]) if device else "",  # noqa: S704  # cleaned in order_reader
        order_id=order_id,
        order_url=_status_page(order_id) if order_id else "",
        to_menu=device is not None and device.has_menu and (family == GONE or not order_id),
    )
