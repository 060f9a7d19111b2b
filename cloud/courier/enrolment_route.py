"""POST /v1/enroll: a machine with a code becomes somebody at the broker. Whoever has no good code learns nothing."""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import TooManyRequests

from cloud.background.loops import Clock
from cloud.courier import broker_address
from cloud.database.database import Database
from cloud.fleet.enrolment import ByHand, Codes
from cloud.fleet.vault import Vault
from cloud.http.request_body import body_fields
from cloud.settings import Settings

log = logging.getLogger("cloud.courier")

PATH = "/v1/enroll"
LONGEST_CODE = 32
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
MOST_OF_AUTHORITY = 48 * 1024
"""Agents read no more than 64 KiB of the answer."""
WRONG_BURST = 10
WRONG_PER_S = 1 / 300
"""Wrong codes of one address: in the day a code is good, too few to use up the tries of a tenth of all codes."""


class Tries(Protocol):
    """How many requests that let nobody in each address has left."""

    def allows(self, address: str, now: datetime) -> bool:
        """Take one."""

    def give_back(self, address: str) -> None:
        """The code was good."""


class TooOften(TooManyRequests):
    """An address that has used up its wrong codes."""

    why = "too_many"


def create_blueprint(
    database: Database, codes: Codes, settings: Settings, clock: Clock, tries: Tries, visitor: Callable[[], str]
) -> Blueprint:
    """The endpoint of enrolling machines. `visitor` tells the caller's address."""
    blueprint = Blueprint("enrolment", __name__)

    @blueprint.post(PATH)
    def enroll() -> tuple[Response, int]:
        address = visitor()
        if not tries.allows(address, clock()):
            raise TooOften
        try:
            authority = _pem(settings.machines_mqtt_ca)  # first: a code that is redeemed must be answered
        except (OSError, ValueError) as error:
            log.error("nobody can enrol: COFFEE_MACHINES_MQTT_CA: %s", error)
            words = "the cloud cannot read which authority machines are to trust; the code is still good"
            return jsonify(error={"code": "try_later", "message": words}), 503
        if not codes.sets_rights:
            log.warning("nobody can enrol: %s", ByHand())
            words = "the cloud lets no machines in at its broker: a person does; the code is still good"
            return jsonify(error={"code": "try_later", "message": words}), 503
        code = body_fields(request).get("code")
        enrolled = None
        if isinstance(code, str) and len(code) <= LONGEST_CODE:
            enrolled = database.transact(codes.redeem, code, clock())
        if enrolled is None:
            log.warning("a code to enrol was refused", extra={"remote": request.remote_addr})
            words = "the code is wrong, used, or older than a day: ask for a new one"
            return jsonify(error={"code": "no_enrolment", "message": words}), 403
        tries.give_back(address)
        log.info("machine enrolled", extra={"device": enrolled.device_uuid})
        answer = jsonify(
            device_uuid=enrolled.device_uuid, mqtt_url=url_for_machines(settings), mqtt_user=enrolled.device_uuid,
            mqtt_password=enrolled.password, mqtt_ca=authority,
            release_key=",".join(settings.release_keys),
        )  # fmt: skip
        answer.headers["Cache-Control"] = "no-store"
        return answer, 200

    return blueprint


def codes_of(settings: Settings) -> Codes:
    """Return the maker and taker of this installation's codes."""
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    own_names = broker_address.own_names(settings.mqtt_url, settings.mqtt_user)
    return Codes(
        settings.secret_key, vault, own_names, settings.old_secret_keys, sets_rights=bool(settings.broker_rights)
    )


def url_for_machines(settings: Settings) -> str:
    """Without a user: each machine has its own."""
    if settings.machines_mqtt_url:
        return settings.machines_mqtt_url
    places = broker_address.addresses(settings.mqtt_url)
    return ",".join(f"{'mqtts' if place.is_tls else 'mqtt'}://{place}" for place in places)


def _pem(file: str) -> str:
    """The certificates alone, whatever is written between them. Raises `OSError`; `ValueError`: none, or too many."""
    if not file:
        return ""
    found: list[str] = CERTIFICATE.findall(Path(file).read_text(encoding="ascii", errors="replace"))
    if not found:
        raise ValueError(f"there is no certificate in {file}")
    authority = "".join(f"{certificate}\n" for certificate in found)
    if len(authority) > MOST_OF_AUTHORITY:
        raise ValueError(f"{file} holds {len(found)} certificates, too long to be told: name those that machines need")
    return authority
