"""The console's blueprint: every section's routes behind the guard, the same strict headers on every answer."""

from collections.abc import Callable, Sequence

from flask import Blueprint, Response
from flask.blueprints import BlueprintSetupState
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import HTTPException, NotFound

from cloud.access.known_browsers import KnownBrowsers
from cloud.access.login import Login
from cloud.access.passwords import Busy
from cloud.buyer.blueprint import OrderIdConverter
from cloud.buyer.gzip_response import gzip_response
from cloud.console.sections import SECTIONS
from cloud.console.shell import cookies
from cloud.console.shell.assets import FILES
from cloud.console.shell.entrance import Entrance
from cloud.console.shell.errors import Errors
from cloud.console.shell.field_ids import field_id
from cloud.console.shell.frame import Frame
from cloud.console.shell.guard import Guard, no_zeros
from cloud.console.shell.key_entrance import KeyEntrance
from cloud.console.shell.request_context import NeedsConfirmation
from cloud.console.shell.section import Section
from cloud.console.shell.sso_entrance import SsoEntrance
from cloud.fleet.vault import Vault, derive
from cloud.http.own_files import KEPT
from cloud.settings import Settings
from cloud.wiring import Cloud

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
FORMS = "coffee_forms"
"""The cookie that holds the forms' token and what the next page is to say."""


def create_blueprint(cloud: Cloud, visitor: Callable[[], str], sections: Sequence[Section] = SECTIONS) -> Blueprint:
    """The whole console at `/console`. `visitor` tells from which address it is asked."""
    blueprint = Blueprint(
        "console", "cloud.console", url_prefix=cookies.PATH, static_folder="static", template_folder="templates"
    )
    frame, csrf = Frame(cloud, sections), CSRFProtect()
    browsers = KnownBrowsers(cloud.settings.secret_key, cloud.settings.old_secret_keys)
    guard = Guard(cloud, frame, csrf, visitor, browsers)
    errors = Errors(cloud, frame, guard)
    vault = Vault(cloud.settings.secret_key, cloud.settings.old_secret_keys)
    blueprint.record_once(lambda state: _prepare(state, cloud.settings, csrf))
    blueprint.before_request(guard.no_strangers)
    blueprint.before_request(no_zeros)
    blueprint.after_request(_protect)
    blueprint.after_request(guard.know_browser)
    blueprint.register_error_handler(HTTPException, errors.known)
    blueprint.register_error_handler(NeedsConfirmation, errors.confirmation)
    blueprint.register_error_handler(Busy, errors.busy)
    blueprint.register_error_handler(Exception, errors.unknown)
    keys = KeyEntrance(cloud, guard)
    keys.add_to(blueprint)
    entrance = Entrance(cloud, frame, guard, Login(cloud.database, vault, cloud.clock), keys)
    entrance.add_to(blueprint)
    SsoEntrance(cloud, guard, entrance).add_to(blueprint)
    for section in sections:
        for route in section.routes:
            name = f"{section.name}_{route.name}"
            view = guard.stand_before(route, name)
            blueprint.add_url_rule(route.path, name, view, methods=[route.method], merge_slashes=False)
    blueprint.add_url_rule("/<path:_rest>", "shell_nothing", _nothing)
    return blueprint


def _prepare(state: BlueprintSetupState, settings: Settings, csrf: CSRFProtect) -> None:
    app = state.app
    app.url_map.converters["order_id"] = OrderIdConverter
    app.config.update(
        SECRET_KEY=derive(settings.secret_key, b"console forms"),
        SESSION_COOKIE_NAME=FORMS,
        SESSION_COOKIE_PATH=cookies.PATH,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https:"),
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # only here: providers post without a page of ours
        WTF_CSRF_TIME_LIMIT=None,  # a page may stay open all day; its token ends with the cookie
        WTF_CSRF_SSL_STRICT=False,  # Sec-Fetch-Site and Origin are checked instead of the Referer
    )
    csrf.init_app(app)
    app.add_template_global(field_id)


def _nothing(_rest: str) -> Response:
    raise NotFound


def _protect(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    if FILES.may_keep(response):
        headers["Cache-Control"] = KEPT
    else:
        headers.setdefault("Cache-Control", "no-store")
    return gzip_response(response)
