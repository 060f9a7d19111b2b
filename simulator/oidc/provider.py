"""An identity provider at which one person is always logged in, and which lies where it is told to."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from simulator.shell.clock import Clock, real_clock
from simulator.shell.service import Service, build_app

LASTS_S = 300


class Lie(StrEnum):
    """One thing that is wrong with what it says."""

    NONCE = "nonce"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    PARTY = "party"
    EXPIRED = "expired"
    UNSIGNED = "unsigned"
    OUR_SECRET = "our_secret"  # noqa: S105  # signed by the client's secret
    OTHER_KEY = "other_key"
    UNVERIFIED = "unverified"
    NAME = "name"
    HUGE = "huge"
    CODE_AGAIN = "code_again"


@dataclass
class Login:
    """What a code stands for."""

    nonce: str
    challenge: str
    callback: str


@dataclass
class Who:
    """The person who is logged in."""

    subject: str = "s-1"
    email: str = "owner@example.com"
    methods: list[str] = field(default_factory=lambda: ["pwd"])


class OidcProvider(Service):
    """`with OidcProvider() as provider:`; its issuer is `provider.address`."""

    def __init__(
        self, *, port: int = 0, client: str = "console", secret: str = "s" * 32, clock: Clock = real_clock
    ) -> None:
        super().__init__(port, clock)
        self.client, self.secret = client, secret
        self.who = Who()
        self.lies: set[Lie] = set()
        self.tokens_given = 0
        self._codes: dict[str, Login] = {}
        self._used: dict[str, Login] = {}
        self.turn_key()
        pages = Blueprint("oidc", __name__)
        pages.add_url_rule("/.well-known/openid-configuration", "about", self._about)
        pages.add_url_rule("/keys", "keys", lambda: jsonify(KeySet([self._key]).as_dict(private=False)))
        pages.add_url_rule("/authorize", "authorize", self._authorize)
        pages.add_url_rule("/token", "token", self._token, methods=["POST"])
        self._serve(build_app(__name__, [pages]))

    def turn_key(self) -> None:
        """Sign with a new key from now on."""
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4)})

    def _about(self) -> ResponseReturnValue:
        if Lie.HUGE in self.lies:
            return Response("{" + " " * 1_000_000 + "}", mimetype="application/json")
        here = self.address
        return jsonify(
            issuer=here if Lie.NAME not in self.lies else f"{here}/other", authorization_endpoint=f"{here}/authorize",
            token_endpoint=f"{here}/token", jwks_uri=f"{here}/keys",
        )  # fmt: skip

    def _authorize(self) -> ResponseReturnValue:
        asked = request.args
        if asked.get("client_id") != self.client or asked.get("code_challenge_method") != "S256":
            return Response("unknown client, or no PKCE", 400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = Login(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    def _token(self) -> ResponseReturnValue:
        form, login = request.form, request.authorization
        known = self._codes.pop(form["code"], None)
        if Lie.CODE_AGAIN in self.lies and known is None:
            known = self._used.get(form["code"])
        is_client = login is not None and (login.username, login.password) == (self.client, self.secret)
        if known is None or not is_client or form.get("redirect_uri") != known.callback:
            return jsonify(error="invalid_grant"), 400
        if _text(hashlib.sha256(form["code_verifier"].encode()).digest()) != known.challenge:
            return jsonify(error="invalid_grant"), 400
        self._used[form["code"]] = known
        self.tokens_given += 1
        return jsonify(access_token="a", token_type="Bearer", id_token=self._signed(self._claims(known.nonce)))  # noqa: S106

    def _claims(self, nonce: str) -> dict[str, Any]:
        now = int(self.clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self.address, "sub": self.who.subject, "aud": self.client, "iat": now, "exp": now + LASTS_S,
            "nonce": nonce, "email": self.who.email, "email_verified": True, "amr": self.who.methods,
        }  # fmt: skip
        wrong: dict[Lie, dict[str, Any]] = {
            Lie.NONCE: {"nonce": "another"},
            Lie.ISSUER: {"iss": "https://evil.example"},
            Lie.AUDIENCE: {"aud": "another"},
            Lie.PARTY: {"aud": [self.client, "another"], "azp": "another"},
            Lie.EXPIRED: {"iat": now - 2 * LASTS_S, "exp": now - LASTS_S},
            Lie.UNVERIFIED: {"email_verified": False},
        }
        for lie in self.lies:
            claims |= wrong.get(lie, {})
        return claims

    def _signed(self, claims: dict[str, Any]) -> str:
        if Lie.UNSIGNED in self.lies:
            return f"{_json({'alg': 'none', 'typ': 'JWT'})}.{_json(claims)}."
        if Lie.OUR_SECRET in self.lies:
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(self.secret))
        key = self._key
        if Lie.OTHER_KEY in self.lies:
            key = ECKey.generate_key("P-256", {"kid": self._key.kid or ""})
        return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(told: dict[str, Any]) -> str:
    return _text(json.dumps(told).encode())
