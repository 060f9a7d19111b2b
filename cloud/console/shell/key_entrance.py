"""The way in by a passkey: what the browser is to ask an authenticator. Its answer comes by the entrance's forms."""

from flask import Blueprint, jsonify, session
from werkzeug.exceptions import NotFound, TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.challenges import Purpose
from cloud.access.login import Refused
from cloud.access.passkey_login import PasskeyLogin
from cloud.access.relying_party import relying_party
from cloud.access.tokens import new_token
from cloud.console.shell.guard import Guard
from cloud.wiring import Cloud

FIELD = "passkey"
"""The field of a form that brings an authenticator's answer."""


class KeyEntrance:
    """Passkeys for the login, its second step and the step-up."""

    def __init__(self, cloud: Cloud, guard: Guard) -> None:
        self._cloud = cloud
        self._guard = guard

    def add_to(self, blueprint: Blueprint) -> None:
        blueprint.add_url_rule("/passkey/<step>", "shell_passkey", self.ask, methods=["POST"])

    @property
    def login(self) -> PasskeyLogin:
        """Not there where browsers make no passkeys."""
        return passkey_login(self._cloud)

    def ask(self, step: str) -> BaseResponse:
        """The options for the step whose page asks."""
        address = self._guard.visitor()
        try:
            if step == Purpose.ENTER:
                return jsonify(self.login.ask(Purpose.ENTER, browser(), address))
            person = {Purpose.SECOND_STEP: self._guard.half, Purpose.CONFIRM: self._guard.person}[Purpose(step)]()
            if person is None:
                raise NotFound
            return jsonify(self.login.ask(Purpose(step), person.session_id, address, person))
        except (KeyError, ValueError):
            raise NotFound from None
        except Refused:
            raise TooManyRequests from None


def passkey_login(cloud: Cloud) -> PasskeyLogin:
    """The login by passkeys. Raises `NotFound` where browsers make none."""
    rp = relying_party(cloud.settings.public_url)
    if rp is None:
        raise NotFound
    return PasskeyLogin(cloud.database, rp, cloud.clock)


def browser() -> str:
    """A name for a browser before any login; it lies in the signed cookie of forms."""
    return str(session.setdefault("browser", new_token()))
