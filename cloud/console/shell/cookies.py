"""The console's cookies: the session, the accounts entered before, and language and brightness before a login."""

from datetime import timedelta

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.sessions import LIVES
from cloud.buyer.texts import Language, language_of

PATH = "/console"
TOKEN, BROWSER, LANGUAGE, THEME = "coffee_console", "coffee_browser", "coffee_language", "coffee_theme"
THEMES = ("light", "dark")
A_YEAR = timedelta(days=365)


def token() -> str:
    """What the browser shows."""
    return request.cookies.get(TOKEN, "")


def give_token(response: BaseResponse, secret: str, *, secure: bool) -> BaseResponse:
    return _give(response, TOKEN, secret, LIVES, secure=secure)


def take_token(response: BaseResponse, *, secure: bool) -> BaseResponse:
    response.delete_cookie(TOKEN, path=PATH, httponly=True, secure=secure, samesite="Lax")
    return response


def browser() -> str:
    """Which accounts were entered by this browser (`known_browsers.py`)."""
    return request.cookies.get(BROWSER, "")


def keep_browser(response: BaseResponse, known: str, *, secure: bool) -> BaseResponse:
    return _give(response, BROWSER, known, A_YEAR, secure=secure)


def keep_taste(response: BaseResponse, name: str, value: str, *, secure: bool) -> BaseResponse:
    return _give(response, name, value, A_YEAR, secure=secure)


def language(chosen: str = "") -> Language:
    """By the address, the person's choice, the cookie, the browser; in this order."""
    asked = request.args.get("lang") or chosen or request.cookies.get(LANGUAGE)
    return language_of(asked, request.accept_languages)


def theme(chosen: str = "") -> str:
    """`light`, `dark`, or "" for what the system likes."""
    asked = chosen or request.cookies.get(THEME, "")
    return asked if asked in THEMES else ""


def _give(response: BaseResponse, name: str, value: str, lasts: timedelta, *, secure: bool) -> BaseResponse:
    # Lax, not Strict: a person who follows an alert's link is still logged in; nothing is changed by a GET.
    response.set_cookie(name, value, max_age=lasts, path=PATH, httponly=True, secure=secure, samesite="Lax")
    return response
