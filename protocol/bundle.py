"""A new version of the agent in one signed file: its form, what it says of itself, and which version is newer. Pure.

`coffee-cloud release bundle` writes it, the agent reads it. Nothing in it is believed before its signature was checked.
Its bytes: MAGIC, 64 bytes of Ed25519 signature over all that follows, the manifest's length (4 bytes, big-endian),
the manifest (JSON), a ZIP archive of the files the manifest names.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct, json

from protocol import json_text
from protocol.errors import Malformed
from protocol.fields import Label

MAGIC = b"COFFEE-AGENT-BUNDLE-1\n"
SIGNATURE = 64
MOST_BYTES = 8 * 1024 * 1024
MOST_MANIFEST = 512 * 1024
MOST_UNPACKED = 32 * 1024 * 1024
_HEAD = len(MAGIC) + SIGNATURE
_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""Of a file inside: never absolute, never upwards, never hidden."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What the bundle says of itself."""

    version: Label
    files: Annotated[dict[str, str], Meta(max_length=2000)]
    """SHA-256 of each by its path."""
    requires: dict[str, str] = {}
    """What must be installed beside it already: a name, and `>=1,<2` or `==1.0`."""
    python: str = ">=3.11"
    machines: Annotated[list[str], Meta(max_length=1000)] = []
    """Only for these; none named: for all."""
    ready_within_s: Annotated[float, Meta(ge=1, le=900)] = 120.0
    """Connected and ready by then, or the version before comes back."""


class Parts(NamedTuple):
    """A bundle taken apart, its signature not yet checked."""

    signature: bytes
    signed: bytes


def split(bundle: bytes) -> Parts:
    """Raises `Malformed`."""
    if len(bundle) > MOST_BYTES:
        raise Malformed(f"a bundle of {len(bundle)} bytes, at most {MOST_BYTES}")
    if not bundle.startswith(MAGIC) or len(bundle) <= _HEAD:
        raise Malformed("no bundle of ours")
    return Parts(bundle[len(MAGIC) : _HEAD], bundle[_HEAD:])


def join(signature: bytes, signed: bytes) -> bytes:
    """The bundle of these."""
    return MAGIC + signature + signed


def pack(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """What is to be signed; the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name], zipfile.ZIP_DEFLATED)
    head = json.encode(manifest)
    return len(head).to_bytes(4, "big") + head + packed.getvalue()


def manifest_of(signed: bytes) -> Manifest:
    """Raises `Malformed`."""
    length = int.from_bytes(signed[:4], "big")
    if length > MOST_MANIFEST or len(signed) < 4 + length:
        raise Malformed("its manifest is cut off, or too long")
    try:
        manifest = json_text.decode(signed[4 : 4 + length], Manifest)
    except json_text.NotJson as error:
        raise Malformed(f"its manifest: {error}") from error
    number(manifest.version)
    for path in manifest.files:
        if not _PATH.fullmatch(path):
            raise Malformed(f"its manifest names {path!r}, which is no path of ours")
    return manifest


def files_of(signed: bytes, manifest: Manifest) -> dict[str, bytes]:
    """Every file the manifest names, as it says. Raises `Malformed`."""
    archive = signed[4 + int.from_bytes(signed[:4], "big") :]
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            if sum(opened.getinfo(path).file_size for path in manifest.files) > MOST_UNPACKED:
                raise Malformed("its files are too large")
            found = {path: opened.read(path) for path in manifest.files}
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise Malformed(f"its archive: {error}") from error
    wrong = [path for path, content in found.items() if hashlib.sha256(content).hexdigest() != manifest.files[path]]
    if wrong:
        raise Malformed(f"{wrong[0]} is not as its manifest says")
    return found


def number(version: str) -> tuple[int, ...]:
    """Of a version, to be compared: `0.10` is newer than `0.9`, and the same as `0.10.0`. Raises `Malformed`."""
    if not _VERSION.fullmatch(version):
        raise Malformed(f"{version!r} is no version: numbers with points")
    parts = [int(part) for part in version.split(".")]
    return tuple([*parts, 0, 0, 0, 0][:4])


def is_within(version: str, wanted: str) -> bool:
    """Whether an installed version is one of those: `>=1.2,<2`. Raises `Malformed` for what cannot be read."""
    have = number(_plain(version))
    return all(_is_so(have, limit.strip()) for limit in wanted.split(",") if limit.strip())


def _is_so(have: tuple[int, ...], limit: str) -> bool:
    for sign in (">=", "<=", "==", "<", ">"):
        if limit.startswith(sign):
            other = number(limit.removeprefix(sign).strip())
            return {
                ">=": have >= other, "<=": have <= other, "==": have == other, "<": have < other, ">": have > other,
            }[sign]  # fmt: skip
    raise Malformed(f"{limit!r} is no limit of a version")


def _plain(version: str) -> str:
    """`3.13.0rc1` is 3.13.0: what stands behind the numbers is of no account here."""
    found = _VERSION.match(version)
    return found.group() if found else version
