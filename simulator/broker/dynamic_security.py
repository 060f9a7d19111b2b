"""The `$CONTROL/dynamic-security/v1` commands, as Mosquitto's plugin has them: accounts, and what each may do. No I/O.

What a client may receive is accepted and not judged: it receives what it may subscribe to.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol import json_text
from simulator.broker import topics
from simulator.broker.hub import Access, Controlled, Rules

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"
ADMIN = "admin"
_NOBODY = "Client not found"


class Refused(Exception):
    """A command that is not done, and why, in Mosquitto's words."""


@dataclass
class _Client:
    password: str
    client_id: str = ""
    roles: set[str] = field(default_factory=set)
    is_disabled: bool = False


class DynamicSecurity(Rules):
    """Begins with one name, which may do everything; `handle` tells which clients to disconnect."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__(None, self.allow)
        everything = ["publishClientSend", "subscribePattern"]
        self._roles: dict[str, list[tuple[str, str, bool]]] = {
            ADMIN: [(kind, f"{CONTROL}/#", True) for kind in everything] + [("subscribePattern", "#", True)]
        }
        self._clients = {user: _Client(password, roles={ADMIN})}
        self._defaults = {"publishClientSend": False, "subscribe": False}
        self._thrown_out: set[str] = set()

    def admits(self, user: str | None, password: bytes | None, client_id: str) -> bool:
        client = self._clients.get(user or "")
        if client is None or client.is_disabled or password != client.password.encode():
            return False
        return not client.client_id or client.client_id == client_id

    def allow(self, access: Access) -> bool:
        client = self._clients.get(access.username or "")
        if client is None:
            return False
        for role in client.roles:
            for kind, where, is_allowed in self._roles.get(role, ()):
                if _is_about(kind, where, access):
                    return is_allowed
        return self._defaults["publishClientSend" if access.action == "publish" else "subscribe"]

    def control(self, topic: str, payload: bytes) -> Controlled | None:
        if topic != CONTROL:
            return None
        response, thrown_out = self.handle(payload)
        return Controlled(RESPONSE, response, frozenset(thrown_out))

    def handle(self, payload: bytes) -> tuple[bytes, set[str]]:
        """The response to be published, and the names whose connections end."""
        try:
            told = json_text.loads(payload)
        except json_text.NotJson:
            told = {}
        commands = told.get("commands", []) if isinstance(told, dict) else []
        self._thrown_out = set()
        responses = [self._respond(command) for command in commands if isinstance(command, dict)]
        return json.dumps({"responses": responses}).encode(), self._thrown_out

    def _respond(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name = str(command.get("command", ""))
        response: dict[str, Any] = {"command": name}
        do: Callable[[Mapping[str, Any]], dict[str, Any] | None] | None = getattr(self, f"_do_{name}", None)
        try:
            if do is None:
                raise Refused("Unknown command")
            if data := do(command):
                response["data"] = data
        except Refused as refused:
            response["error"] = str(refused)
        if "correlationData" in command:
            response["correlationData"] = command["correlationData"]
        return response

    def _of(self, command: Mapping[str, Any], *, ends: bool = True) -> _Client:
        name = str(command.get("username", ""))
        if name not in self._clients:
            raise Refused(_NOBODY)
        if ends:
            self._thrown_out.add(name)
        return self._clients[name]

    # Each named as the command is

    def _do_setDefaultACLAccess(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._defaults |= {str(one["acltype"]): bool(one["allow"]) for one in command.get("acls", [])}

    def _do_createRole(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        if command["rolename"] in self._roles:
            raise Refused("Role already exists")
        rights = command.get("acls", [])
        self._roles[command["rolename"]] = [(one["acltype"], one["topic"], one["allow"]) for one in rights]

    def _do_deleteRole(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        if self._roles.pop(command["rolename"], None) is None:
            raise Refused("Role not found")

    def _do_createClient(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        if command["username"] in self._clients:
            raise Refused("Client already exists")
        self._clients[command["username"]] = _Client(
            command.get("password", ""), command.get("clientid", ""), self._roles_in(command)
        )

    def _do_modifyClient(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        client = self._of(command)
        client.password = command.get("password", client.password)
        client.client_id = command.get("clientid", client.client_id)
        client.roles = self._roles_in(command) if "roles" in command else client.roles

    def _do_setClientPassword(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command).password = command["password"]

    def _do_setClientId(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command).client_id = command["clientid"]

    def _do_addClientRole(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command).roles |= self._roles_in({"roles": [command]})

    def _do_disableClient(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command).is_disabled = True

    def _do_enableClient(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command, ends=False).is_disabled = False

    def _do_deleteClient(self, command: Mapping[str, Any]) -> None:  # noqa: N802
        self._of(command)
        del self._clients[command["username"]]

    def _do_getClient(self, command: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        client = self._of(command, ends=False)
        roles = [{"rolename": role} for role in sorted(client.roles)]
        return {"client": {"username": command["username"], "clientid": client.client_id, "roles": roles}}

    def _do_listClients(self, command: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        names = sorted(self._clients)
        first, count = int(command.get("offset", 0)), int(command.get("count", -1))
        return {"totalCount": len(names), "clients": names[first:] if count < 0 else names[first : first + count]}

    def _roles_in(self, command: Mapping[str, Any]) -> set[str]:
        wanted = {str(one["rolename"]) for one in command.get("roles", [])}
        if wanted - self._roles.keys():
            raise Refused("Role not found")
        return wanted


def _is_about(kind: str, where: str, access: Access) -> bool:
    if access.action == "publish":
        return kind == "publishClientSend" and topics.matches(where, access.topic)
    if kind == "subscribeLiteral":
        return where == access.topic
    return kind == "subscribePattern" and _covers(where.split("/"), access.topic.split("/"))


def _covers(rule: Iterable[str], wish: list[str]) -> bool:
    """Whether everything that the wish could match is within the rule; `#` alone leaves out what begins with `$`."""
    for number, level in enumerate(rule):
        if level == "#":
            return not (number == 0 and wish[0].startswith("$"))
        if number >= len(wish) or wish[number] == "#" or (level not in ("+", wish[number])):
            return False
    return number + 1 == len(wish)
