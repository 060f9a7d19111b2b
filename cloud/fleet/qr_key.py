"""The key a machine signs its QR codes with: derived for each device and key version, so that none is ever stored.

HKDF from COFFEE_SECRET_KEY; `docs/qr-codes.md` tells a machine's maker what to do with it.
"""

import base64

from cloud.fleet.vault import derive

ANY = "any"
"""The device's codes may be unsigned; what can be told of them is noted."""
SIGNED = "signed"
QR_RULES = (ANY, SIGNED)


class QrKeys:
    """Keys of all devices. What was given out under an old secret key is accepted while that key is listed."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        self._secret_keys = (secret_key, *old_secret_keys)

    def of(self, device_uuid: str, version: int) -> bytes:
        """The key to give to the machine: 32 bytes."""
        return _derived(self._secret_keys[0], device_uuid, version)

    def accepted(self, device_uuid: str, version: int) -> tuple[bytes, ...]:
        """Every key the machine may sign with now."""
        return tuple(_derived(secret_key, device_uuid, version) for secret_key in self._secret_keys)


def _derived(secret_key: str, device_uuid: str, version: int) -> bytes:
    return base64.urlsafe_b64decode(derive(secret_key, f"qr {version} {device_uuid}".encode()))
