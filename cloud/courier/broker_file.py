"""The file that Mosquitto's dynamic-security plugin begins with: the cloud's own name, and machines of a password file.

Only hashes are in it. `mosquitto_passwd` makes the same ones, so machines keep the passwords they have.
"""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from cloud.courier.dynamic_security import (
    CLOUD_ROLE,
    CONTROL,
    NOTHING_BY_DEFAULT,
    acls_of_cloud,
    acls_of_machine,
    role_of,
)

ADMIN_ROLE = "broker-rights"
"""May tell the plugin what each client may do."""
ITERATIONS, SALT_BYTES = 101, 12
"""Those of Mosquitto 2.0, which reads no other salt. The password is to be long and made by chance."""
PBKDF2 = "7"


class CannotTakeOver(Exception):
    """A line of the password file; names the user, never the hash."""


def begin(user: str, password: str, password_lines: Iterable[str] = ()) -> dict[str, Any]:
    """What the plugin's file holds at first. Raises `CannotTakeOver`."""
    machines = {name: taken for name, taken in map(_taken_over, filter(str.strip, password_lines)) if name != user}
    salt = secrets.token_bytes(SALT_BYTES)
    cloud = {
        "username": user,
        "textName": "Coffee Relay's workers",
        **_hashed(salt, ITERATIONS, hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)),
        "roles": [{"rolename": ADMIN_ROLE}, {"rolename": CLOUD_ROLE}],
    }
    clients = [
        {"username": name, "clientid": name, **taken, "roles": [{"rolename": role_of(name)}]}
        for name, taken in machines.items()
    ]
    roles = [
        {"rolename": ADMIN_ROLE, "acls": _acls_of_admin()},
        {"rolename": CLOUD_ROLE, "acls": acls_of_cloud()},
        *({"rolename": role_of(name), "acls": acls_of_machine(name)} for name in machines),
    ]
    default = {str(one["acltype"]): one["allow"] for one in NOTHING_BY_DEFAULT} | {"unsubscribe": True}
    return {"clients": [cloud, *clients], "roles": roles, "defaultACLAccess": default}


def _acls_of_admin() -> list[dict[str, Any]]:
    kinds = ("publishClientSend", "publishClientReceive", "subscribePattern")
    return [{"acltype": kind, "topic": f"{CONTROL.rpartition('/')[0]}/#", "allow": True} for kind in kinds]


def _taken_over(line: str) -> tuple[str, dict[str, Any]]:
    """Of NAME:$7$ITERATIONS$SALT$HASH."""
    name, _, hashed = line.strip().partition(":")
    parts = hashed.split("$")
    if len(parts) != 5 or parts[1] != PBKDF2 or not parts[2].isdecimal():
        raise CannotTakeOver(f"{name}: not hashed by mosquitto_passwd of Mosquitto 2; give it a new password")
    return name, {"iterations": int(parts[2]), "salt": parts[3], "password": parts[4]}


def _hashed(salt: bytes, iterations: int, digest: bytes) -> dict[str, Any]:
    return {"iterations": iterations, "salt": b64encode(salt).decode(), "password": b64encode(digest).decode()}
