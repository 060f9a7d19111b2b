"""What is asked of an authenticator and what its answer proves (WebAuthn). Pure; signatures are `webauthn`'s work.

Always with the person verified by the authenticator itself: a passkey stands for both steps of logging in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes, options_to_json_dict, parse_client_data_json
from webauthn.helpers import bytes_to_base64url as text_of
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from cloud.access.relying_party import NAME, RelyingParty
from protocol import json_text

TIMEOUT_MS = 120_000
LONGEST = 32_768
"""Characters of an answer: an attestation brings certificates along."""
LONGEST_CREDENTIAL = 1400
_VERIFIED = UserVerificationRequirement.REQUIRED
_BAD = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError)
"""How the library refuses what a stranger sent."""


class NotValid(Exception):
    """The answer proves nothing; the text says why, for the log."""


@dataclass(frozen=True)
class Known:
    """A key that is registered, as browsers are told of it."""

    credential: str
    transports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a browser brings, not yet believed."""

    told: dict[str, Any]
    credential: str
    challenge: str
    """The question it claims to answer."""
    handle: str
    """The user whose key it claims to be; "" where it does not say."""


@dataclass(frozen=True)
class Made:
    """A key that was made for us."""

    credential: str
    public_key: str
    signatures: int
    transports: tuple[str, ...]


def to_make(rp: RelyingParty, challenge: bytes, user_id: str, email: str, name: str,
            known: Iterable[Known]) -> dict[str, Any]:  # fmt: skip
    """The options of `navigator.credentials.create()`."""
    options = webauthn.generate_registration_options(
        rp_id=rp.id, rp_name=NAME, user_id=bytes.fromhex(user_id), user_name=email, user_display_name=name or email,
        challenge=challenge, timeout=TIMEOUT_MS, exclude_credentials=_descriptors(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=_VERIFIED
        ),
    )  # fmt: skip
    return options_to_json_dict(options)


def to_show(rp: RelyingParty, challenge: bytes, known: Iterable[Known] = ()) -> dict[str, Any]:
    """The options of `navigator.credentials.get()`; without `known`, whichever key the person chooses."""
    options = webauthn.generate_authentication_options(
        rp_id=rp.id, challenge=challenge, timeout=TIMEOUT_MS, user_verification=_VERIFIED,
        allow_credentials=_descriptors(known),
    )  # fmt: skip
    return options_to_json_dict(options)


def read(text: str) -> Answer:
    """What the answer says of itself. Raises `NotValid`."""
    if len(text) > LONGEST:
        raise NotValid("too long")
    try:
        told: Any = json_text.loads(text)
        client = base64url_to_bytes(told["response"]["clientDataJSON"])
        json_text.check_depth(client)
        data = parse_client_data_json(client)
        handle = told["response"].get("userHandle") or ""
        credential = text_of(base64url_to_bytes(told["id"]))  # whatever else it holds, databases may not take
        answer = Answer(told, credential, text_of(data.challenge), base64url_to_bytes(handle).hex())
    except _BAD as error:
        raise NotValid(f"not to be read: {type(error).__name__}") from None
    if data.cross_origin or len(answer.credential) > LONGEST_CREDENTIAL:
        raise NotValid("asked for inside another site's page" if data.cross_origin else "too long a name")
    return answer


def made(answer: Answer, rp: RelyingParty) -> Made:
    """The key that was made, if it was by an authenticator, for us, and at our page. Raises `NotValid`."""
    try:
        proved = webauthn.verify_registration_response(
            credential=answer.told, expected_challenge=base64url_to_bytes(answer.challenge), expected_rp_id=rp.id,
            expected_origin=rp.origin, require_user_verification=True,
        )  # fmt: skip
    except _BAD as error:
        raise NotValid(str(error)) from None
    told = answer.told["response"].get("transports")
    transports = [one for one in told if one in set(AuthenticatorTransport)] if isinstance(told, list) else []
    return Made(text_of(proved.credential_id), text_of(proved.credential_public_key), proved.sign_count,
                tuple(transports[:8]))  # fmt: skip


def shown(answer: Answer, rp: RelyingParty, public_key: str) -> int:
    """The authenticator's count of signatures, if this key signed this for us, at our page. Raises `NotValid`."""
    try:
        proved = webauthn.verify_authentication_response(
            credential=answer.told, expected_challenge=base64url_to_bytes(answer.challenge), expected_rp_id=rp.id,
            expected_origin=rp.origin, credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0, require_user_verification=True,
        )  # fmt: skip
    except _BAD as error:
        raise NotValid(str(error)) from None
    return proved.new_sign_count


def is_copied(before: int, now: int) -> bool:
    """Whether a count that must grow did not: somebody else signs with it too. Zero is of a key that never counts."""
    return (before > 0 or now > 0) and now <= before


def _descriptors(known: Iterable[Known]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(one.credential), transports=[AuthenticatorTransport(each) for each in one.transports]
        )
        for one in known
    ]
