"""The way in by an identity provider: to it, and back from it. Not there without `COFFEE_OIDC_ISSUER`."""

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, request, session
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.login import Refused
from cloud.console.shell import cookies
from cloud.console.shell.entrance import Entrance
from cloud.console.shell.errors import is_inside
from cloud.console.shell.guard import Guard
from cloud.console.shell.key_entrance import browser
from cloud.console.shell.request_context import address
from cloud.wiring import Cloud

if TYPE_CHECKING:
    from cloud.access.oidc_login import OidcLogin

CALLBACK = "/sso/callback"
NEXT = "sso_next"


class SsoEntrance:
    """Both ends of the way."""

    def __init__(self, cloud: Cloud, guard: Guard, entrance: Entrance) -> None:
        self._guard = guard
        self._entrance = entrance
        self._login = _login(cloud) if cloud.settings.oidc_issuer else None
        self._secure = cloud.settings.public_url.startswith("https:")

    def add_to(self, blueprint: Blueprint) -> None:
        blueprint.add_url_rule("/sso", "shell_sso", self.go)
        blueprint.add_url_rule(CALLBACK, "shell_sso_callback", self.come_back)

    def go(self) -> BaseResponse:
        """To the provider."""
        wanted = request.args.get("next", "")
        session[NEXT] = wanted if is_inside(wanted) else ""
        try:
            return redirect(self._there().begin(browser(), self._guard.visitor()), 303)
        except Refused as refused:
            return self._entrance.show_login(refused)

    def come_back(self) -> BaseResponse:
        """From the provider, with a code."""
        from cloud.access.oidc_login import Came  # only where the extra is installed

        login, asked = self._there(), request.args
        came = Came(browser(), asked.get("state", "")[:200], asked.get("code", "")[:2000], self._guard.visitor(),
                    request.headers.get("User-Agent", ""))  # fmt: skip
        try:
            entered = login.finish(came)
        except Refused as refused:
            return self._entrance.show_login(refused)
        wanted = session.pop(NEXT, "") or None
        where = address("shell.second_step", next=wanted) if entered.asks_code else wanted or address("shell.home")
        return cookies.give_token(redirect(where, 303), entered.token, secure=self._secure)

    def _there(self) -> "OidcLogin":
        if self._login is None:
            raise NotFound
        return self._login


def _login(cloud: Cloud) -> "OidcLogin":
    from cloud.access.oidc_login import OidcLogin
    from cloud.access.oidc_provider import Client

    settings = cloud.settings
    client = Client(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret,
                    f"{settings.public_url}{cookies.PATH}{CALLBACK}")  # fmt: skip
    return OidcLogin(cloud.database, client, settings.secret_key, cloud.clock,
                     trusts_factors=bool(settings.oidc_trusts_mfa))  # fmt: skip
