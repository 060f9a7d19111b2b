"""What Mosquitto's dynamic-security plugin is told, and what it answers. Knows no database.

Version 2.0 puts no names into its rules, so each machine has a role of its own.
"""

import json
import queue
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.courier.broker import BrokerLink
from cloud.courier.broker_session import SHARED_GROUP
from protocol import json_text
from protocol.messages import Presence, encode
from protocol.topics import FROM_CLOUD, FROM_DEVICE, Channel, every, topic

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"
CLOUD_ROLE = "coffee-cloud"
ANSWER_S = 5.0
PAGE = 500
PRESENCE_EXPIRY_S = 30 * 24 * 3600
NOTHING_BY_DEFAULT = [
    {"acltype": kind, "allow": False} for kind in ("publishClientSend", "publishClientReceive", "subscribe")
]
EXISTS, NOT_FOUND = "already exists", "not found"

Command = Mapping[str, Any]


class BrokerRefuses(Exception):
    """The plugin would not, or is not there."""


class NotAMachine(Exception):
    """A client of this name has other rights at the broker than a machine's, and is left alone."""


@dataclass(frozen=True)
class Answer:
    """To one command; `error` is empty when it was done."""

    error: str
    data: Mapping[str, Any]


class DynamicSecurity:
    """Asks and waits for the answer, over a link that listens to `RESPONSE`."""

    def __init__(self, link: BrokerLink) -> None:
        self._link = link

    def ask(self, *commands: Command) -> list[Answer]:
        """Raises `BrokerRefuses`, and `NotConnected`."""
        asked = uuid.uuid4().hex
        numbered = [dict(command, correlationData=f"{asked}/{number}") for number, command in enumerate(commands)]
        self._link.publish(CONTROL, json.dumps({"commands": numbered}).encode(), int(ANSWER_S))
        found: dict[str, Answer] = {}
        until = time.monotonic() + ANSWER_S
        while len(found) < len(numbered):
            try:
                received = self._link.inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise BrokerRefuses("no answer: is the dynamic-security plugin loaded, may we use it?") from None
            self._link.ack(received)
            found |= {name: one for name, one in _answers(received.payload) if name.startswith(asked)}
        return [found[command["correlationData"]] for command in numbered]

    def names(self) -> set[str]:
        """Return all clients the broker knows; those that come or go meanwhile may be wrong until the next look."""
        names: set[str] = set()
        while True:
            page = {"command": "listClients", "verbose": False, "count": PAGE, "offset": len(names)}
            answer = _done(self.ask(page)[0])
            fresh = {str(name) for name in answer.data.get("clients", [])} - names
            names |= fresh
            if not fresh or len(names) >= int(answer.data.get("totalCount", 0)):
                return names

    def let_cloud_in(self, user: str) -> bool:
        """Give our own name the rights of the cloud; whether it lacked them. It loses its connections then."""
        told = _done(self.ask({"command": "getClient", "username": user})[0])
        if any(role.get("rolename") == CLOUD_ROLE for role in told.data.get("client", {}).get("roles", [])):
            return False
        made, defaults = self.ask(
            {"command": "createRole", "rolename": CLOUD_ROLE, "acls": acls_of_cloud()},
            {"command": "setDefaultACLAccess", "acls": NOTHING_BY_DEFAULT},
        )
        if EXISTS not in made.error:
            _done(made)
        _done(defaults)
        with_role = {"command": "addClientRole", "username": user, "rolename": CLOUD_ROLE}
        self._link.publish(CONTROL, json.dumps({"commands": [with_role]}).encode(), int(ANSWER_S))
        return True

    def give_ourselves(self, user: str, password: str) -> None:
        """A new password; all connections made with the old one end, ours before it hears the answer."""
        command = {"command": "setClientPassword", "username": user, "password": password}
        self._link.publish(CONTROL, json.dumps({"commands": [command]}).encode(), int(ANSWER_S))
        until = time.monotonic() + ANSWER_S
        while self._link.connected and time.monotonic() < until:
            time.sleep(0.02)

    def let_in(self, device_uuid: str, password: str) -> None:
        """Let this machine in with this password under its own name; throw out a client that is in with another.

        Raises `NotAMachine`.
        """
        self._leave_others_alone(device_uuid)
        role = {"command": "createRole", "rolename": role_of(device_uuid), "acls": acls_of_machine(device_uuid)}
        client = {
            "command": "createClient", "username": device_uuid, "password": password, "clientid": device_uuid,
            "roles": [{"rolename": role_of(device_uuid)}],
        }  # fmt: skip
        made_role, made = self.ask(role, client)
        if EXISTS not in made_role.error:
            _done(made_role)
        if EXISTS not in made.error:
            _done(made)
            return
        _done(self.ask({**client, "command": "modifyClient"})[0])

    def throw_out(self, device_uuid: str, session_id: str) -> None:
        """End its connection for good; the broker then tells it offline, also to clients that subscribe later.

        Raises `NotAMachine`.
        """
        self._leave_others_alone(device_uuid)
        for answer in self.ask(
            {"command": "deleteClient", "username": device_uuid},
            {"command": "deleteRole", "rolename": role_of(device_uuid)},
        ):
            if NOT_FOUND not in answer.error:
                _done(answer)
        gone = encode(Presence(online=False, session_id=session_id))
        self._link.publish(topic(device_uuid, Channel.PRESENCE), gone, PRESENCE_EXPIRY_S, retain=True)

    def _leave_others_alone(self, name: str) -> None:
        """The plugin's `admin`, a name somebody made for himself: no row of a fleet may reach them."""
        answer = self.ask({"command": "getClient", "username": name})[0]
        if NOT_FOUND in answer.error:
            return
        known = _done(answer).data.get("client", {})
        roles = {role.get("rolename") for role in known.get("roles", [])}
        if known.get("groups") or roles - {role_of(name)}:
            raise NotAMachine(name)


def role_of(device_uuid: str) -> str:
    """The role that is this machine's alone."""
    return f"machine {device_uuid}"


def acls_of_machine(device_uuid: str) -> list[dict[str, Any]]:
    """Its own branch; it reads what the cloud writes, and the other way round."""
    own = [("publishClientSend", topic(device_uuid, channel)) for channel in FROM_DEVICE]
    for channel in FROM_CLOUD:
        own += [(kind, topic(device_uuid, channel)) for kind in ("publishClientReceive", "subscribeLiteral")]
    return [{"acltype": kind, "topic": where, "allow": True} for kind, where in own]


def acls_of_cloud() -> list[dict[str, Any]]:
    """All branches; presence too, to take it back from a machine that is thrown out: the plugin sends no last will."""
    own = [("publishClientSend", every(channel)) for channel in FROM_CLOUD]
    own.append(("publishClientSend", every(Channel.PRESENCE)))
    for channel in FROM_DEVICE:
        own += [("publishClientReceive", every(channel)), ("subscribePattern", every(channel))]
        own += [("subscribePattern", SHARED_GROUP + every(channel))]
    return [{"acltype": kind, "topic": where, "allow": True} for kind, where in own]


class _Said(msgspec.Struct, rename={"name": "correlationData"}):
    name: str = ""
    error: str = ""
    data: dict[str, Any] = {}


class _Responses(msgspec.Struct):
    responses: list[_Said] = []


def _answers(payload: bytes) -> list[tuple[str, Answer]]:
    try:
        return [(one.name, Answer(one.error, one.data)) for one in json_text.decode(payload, _Responses).responses]
    except json_text.NotJson:
        return []


def _done(answer: Answer) -> Answer:
    if answer.error:
        raise BrokerRefuses(answer.error)
    return answer
