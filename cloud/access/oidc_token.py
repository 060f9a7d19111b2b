"""What an identity token proves. Pure; needs the extra `oidc`, which is imported here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from cloud.access.oidc_provider import NotVouched
from protocol import json_text

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures by a key that only the provider has: not `none`, and none made with our own secret."""
LEEWAY_S = 60
LONGEST = 16_384


class UnknownKey(NotVouched):
    """Signed by a key that is not among those we know."""


@dataclass(frozen=True)
class Vouched:
    """Whom the provider vouches for."""

    subject: str
    email: str
    """Empty where it has not verified it."""
    by_many_factors: bool


def read(token: str, keys: Mapping[str, Any], issuer: str, client_id: str, nonce: str, access_token: str,
         now: datetime) -> Vouched:  # fmt: skip
    """Raises `NotVouched` for whatever is not signed by this issuer, for us, for this very login, and still good."""
    if len(token) > LONGEST:
        raise NotVouched("the token is too long")
    try:
        json_text.check_depth(str(keys))
        decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]  # it looks for itself what it is given
        claims = CodeIDToken(
            decoded.claims, decoded.header,
            options={"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}},
            params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )  # fmt: skip
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
    except InvalidKeyIdError:
        raise UnknownKey("signed by a key it does not publish") from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotVouched(f"the token is not good: {type(error).__name__}") from None
    return _vouched(claims)


def _vouched(claims: Mapping[str, Any]) -> Vouched:
    subject, email, methods = claims.get("sub"), claims.get("email"), claims.get("amr") or []
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise NotVouched("the token names nobody")
    is_verified = claims.get("email_verified") is True and isinstance(email, str)
    return Vouched(subject, str(email).strip().lower() if is_verified else "", "mfa" in methods)
