"""May this bundle run here? Signed by a key of the settings, for this machine, not older, all it needs installed."""

import platform
from collections.abc import Sequence
from importlib import metadata

from agent import AGENT_VERSION, ed25519
from protocol import bundle
from protocol.bundle import Manifest
from protocol.errors import Malformed
from protocol.reasons import UpdateCode


class Unfit(Exception):
    """Why not, with its code."""

    def __init__(self, code: UpdateCode, words: str) -> None:
        super().__init__(words)
        self.code = code


def checked(content: bytes, keys: Sequence[bytes]) -> tuple[Manifest, bytes]:
    """The manifest and all that was signed. Raises `Unfit`; nothing is read before the signature is good."""
    try:
        parts = bundle.split(content)
        if not any(ed25519.is_signed(parts.signed, parts.signature, key) for key in keys):
            raise Unfit(UpdateCode.BAD_SIGNATURE, "none of the release keys in the settings has signed it")
        return bundle.manifest_of(parts.signed), parts.signed
    except Malformed as error:
        raise Unfit(UpdateCode.BAD_BUNDLE, str(error)) from None


def judge(manifest: Manifest, *, version: str, device_uuid: str, allow_older: bool) -> None:
    """Raise `Unfit` for a bundle that is not the one asked for, or not for here."""
    if manifest.version != version:
        raise Unfit(UpdateCode.BAD_BUNDLE, f"it is {manifest.version}, asked for was {version}")
    if manifest.machines and device_uuid not in manifest.machines:
        raise Unfit(UpdateCode.OTHER_MACHINE, "it is made for other machines")
    if bundle.number(version) < bundle.number(AGENT_VERSION) and not allow_older:
        raise Unfit(UpdateCode.OLDER_VERSION, f"{version} is older than {AGENT_VERSION}, which runs")
    if missing := _missing(manifest):
        raise Unfit(UpdateCode.BAD_BUNDLE, missing)


def files_of(signed: bytes, manifest: Manifest) -> dict[str, bytes]:
    """Raises `Unfit`."""
    try:
        return bundle.files_of(signed, manifest)
    except Malformed as error:
        raise Unfit(UpdateCode.BAD_BUNDLE, str(error)) from None


def _missing(manifest: Manifest) -> str:
    """What must be installed first, by hand; "" when all is there."""
    try:
        if not bundle.is_within(platform.python_version(), manifest.python):
            return f"it needs Python {manifest.python}, here is {platform.python_version()}"
        for name, wanted in manifest.requires.items():
            if not bundle.is_within(found := metadata.version(name), wanted):
                return f"it needs {name} {wanted}, here is {found}"
    except metadata.PackageNotFoundError as error:
        return f"it needs {error.name}, which is not installed"
    except Malformed as error:
        return str(error)
    return ""
