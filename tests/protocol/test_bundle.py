"""The form of a bundle: what was packed is read again, what is broken is refused, and no path leaves its folder."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import bundle
from protocol.bundle import Manifest
from protocol.errors import Malformed

FILES = {"agent/__init__.py": b"x = 1\n", "__main__.py": b""}


def manifest(files: dict[str, bytes], version: str = "0.2.0") -> Manifest:
    return Manifest(version=version, files={name: hashlib.sha256(text).hexdigest() for name, text in files.items()})


def test_what_was_packed_is_read_again() -> None:
    made = bundle.join(b"s" * 64, bundle.pack(manifest(FILES), FILES))
    parts = bundle.split(made)
    assert parts.signature == b"s" * 64
    said = bundle.manifest_of(parts.signed)
    assert said == manifest(FILES)
    assert bundle.files_of(parts.signed, said) == FILES
    assert bundle.pack(manifest(FILES), FILES) == parts.signed


@pytest.mark.parametrize("path", ["../agent.py", "/etc/passwd", "a//b", "a/../b", ".env", "a/.b", "", "a\\b"])
def test_no_path_leaves_its_folder(path: str) -> None:
    with pytest.raises(Malformed):
        bundle.manifest_of(bundle.pack(manifest({path: b""}), {}))


@pytest.mark.parametrize("version", ["", "1.x", "../1", "1..2", "1.2.3.4.5", "v1", "1 "])
def test_a_version_is_numbers_with_points(version: str) -> None:
    with pytest.raises(Malformed):
        bundle.manifest_of(bundle.pack(manifest(FILES, version), FILES))


def test_files_are_as_the_manifest_says() -> None:
    signed = bundle.pack(manifest(FILES), FILES | {"__main__.py": b"other"})
    with pytest.raises(Malformed):
        bundle.files_of(signed, manifest(FILES))
    with pytest.raises(Malformed):
        bundle.files_of(bundle.pack(manifest(FILES), {}), manifest(FILES))


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_MANIFEST", "MOST_UNPACKED"])
def test_what_is_larger_than_anybody_needs_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.py": b"x" * 1000}
    made = bundle.join(b"s" * 64, bundle.pack(manifest(files), files))
    head = int.from_bytes(bundle.split(made).signed[:4], "big")
    size = {"MOST_BYTES": len(made), "MOST_MANIFEST": head, "MOST_UNPACKED": 1000}[limit]
    monkeypatch.setattr(bundle, limit, size)
    read(made)
    monkeypatch.setattr(bundle, limit, size - 1)
    with pytest.raises(Malformed):
        read(made)


@given(st.binary(max_size=400))
def test_anything_else_is_refused_and_nothing_worse(content: bytes) -> None:
    for one in (content, bundle.MAGIC + content, bundle.join(b"s" * 64, content)):
        with pytest.raises(Malformed):
            read(one)


def read(content: bytes) -> None:
    parts = bundle.split(content)
    bundle.files_of(parts.signed, bundle.manifest_of(parts.signed))


def test_which_version_is_newer() -> None:
    assert bundle.number("0.10") > bundle.number("0.9.9")
    assert bundle.number("1") == bundle.number("1.0.0")
    assert bundle.is_within("3.11.2", ">=3.11")
    assert bundle.is_within("3.13.0rc1", ">=3.11,<4")
    assert not bundle.is_within("0.19.0", ">=0.20,<1")
    assert not bundle.is_within("1.0", ">=0.20,<1")


@pytest.mark.parametrize(
    ("limit", "within"),
    [
        (">=1.2", [False, True, True]),
        ("<=1.2", [True, True, False]),
        ("==1.2", [False, True, False]),
        ("<1.2", [True, False, False]),
        (">1.2", [False, False, True]),
    ],
)
def test_a_limit_is_below_at_or_above(limit: str, within: list[bool]) -> None:
    assert [bundle.is_within(version, limit) for version in ("1.1.9", "1.2.0", "1.2.1")] == within
