"""Makes a signed bundle of the agent from its sources, and checks one. Run where the release key is, never on a server.

A bundle holds our own code and names what must be installed beside it: msgspec is compiled for each kind of computer,
and a machine's other libraries change once a year, by hand.
"""

import hashlib
import re
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol import bundle
from protocol.bundle import Manifest
from protocol.errors import Malformed

PACKAGES = ("agent", "protocol")
KINDS = {".py", ".toml"}
MAIN = b"""import sys

from agent.cli import main

sys.exit(main())
"""
_VERSION = re.compile(r'^AGENT_VERSION = "([^"]+)"$', re.MULTILINE)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*([<>=].*)")


class CannotBundle(Exception):
    """Why not."""


def new_key() -> tuple[bytes, str]:
    """The private half as PEM, for one file that nobody else reads, and the public half for settings."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, public_text(key.public_key())


def read_key(pem: bytes) -> Ed25519PrivateKey:
    """Raises `CannotBundle`."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CannotBundle(f"no release key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CannotBundle("no release key: not Ed25519")
    return key


def public_text(key: Ed25519PublicKey) -> str:
    return b64encode(key.public_bytes_raw()).decode()


def make(
    source: Path, key: Ed25519PrivateKey, *, machines: Iterable[str] = (), ready_within_s: float = 120.0
) -> tuple[Manifest, bytes]:
    """The bundle of the agent in this checkout. Raises `CannotBundle`."""
    files = _files(source)
    try:
        project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
        manifest = Manifest(
            version=_version(files),
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            requires=_requires(project["dependencies"] + project["optional-dependencies"]["agent"]),
            python=project["requires-python"],
            machines=sorted(machines),
            ready_within_s=ready_within_s,
        )
        signed = bundle.pack(manifest, files)
        made = bundle.join(key.sign(signed), signed)
        opened(made, [public_text(key.public_key())])
    except (OSError, KeyError, Malformed) as error:
        raise CannotBundle(f"{source}: {error}") from None
    return manifest, made


def opened(content: bytes, keys: Iterable[str]) -> Manifest:
    """What a bundle says of itself, once one of these public keys is known to have signed it. Raises `Malformed`."""
    parts = bundle.split(content)
    if not any(_is_signed(parts, key) for key in keys):
        raise Malformed("none of the release keys has signed it")
    manifest = bundle.manifest_of(parts.signed)
    bundle.files_of(parts.signed, manifest)
    return manifest


def machines_of(content: bytes) -> list[str]:
    """Return the only machines that a bundle opened once is made for; none named is every machine."""
    return bundle.manifest_of(bundle.split(content).signed).machines


def public_key(text: str) -> Ed25519PublicKey:
    """Raises `ValueError`."""
    return Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True))


def _is_signed(parts: bundle.Parts, key: str) -> bool:
    try:
        public_key(key).verify(parts.signature, parts.signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _files(source: Path) -> dict[str, bytes]:
    found = {"__main__.py": MAIN}
    for package in PACKAGES:
        for path in sorted((source / package).rglob("*")):
            if path.suffix in KINDS and path.is_file():
                found[path.relative_to(source).as_posix()] = path.read_bytes()
    return found


def _version(files: dict[str, bytes]) -> str:
    said = _VERSION.search(files.get("agent/__init__.py", b"").decode())
    if said is None:
        raise CannotBundle("there is no agent in this folder: agent/__init__.py does not say AGENT_VERSION")
    return said.group(1)


def _requires(lines: Iterable[str]) -> dict[str, str]:
    found = [_REQUIREMENT.fullmatch(line) for line in lines]
    return {said.group(1): said.group(2).strip() for said in found if said is not None}
