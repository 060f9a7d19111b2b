"""Versions on the disk: one folder each, whole or not there, and the file that remembers which of them runs.

Everything is on the disk before the name it is found by: the power may go at any moment.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

import agent
from agent.update.versions import Versions
from protocol import json_text

FOLDER, FILE, MANIFEST = "releases", "update.json", "manifest.json"
log = logging.getLogger(__name__)


def read(state_dir: Path) -> Versions:
    """One that makes no sense is put off with an error: the installed program runs."""
    path = state_dir / FILE
    try:
        return json_text.decode(path.read_bytes(), Versions)
    except FileNotFoundError:
        return Versions()
    except (OSError, json_text.NotJson) as error:
        log.error("%s is ignored: %s", path, error)
        return Versions()


def write(state_dir: Path, known: Versions) -> None:
    """The old words or the new ones, whatever the power does. Raises `OSError`."""
    fresh = state_dir / f"{FILE}.new"
    _write_through(fresh, msgspec.json.format(msgspec.json.encode(known), indent=1))
    fresh.replace(state_dir / FILE)
    _settle(state_dir)


def folder_of(state_dir: Path, version: str) -> Path:
    return state_dir / FOLDER / version


def unpack(state_dir: Path, version: str, files: Mapping[str, bytes]) -> Path:
    """The folder of the new version, whole. Raises `OSError`."""
    place = folder_of(state_dir, version)
    fresh = place.with_name(f".{version}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, content in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_through(path, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    _write_through(fresh / MANIFEST, msgspec.json.encode(sums))
    _settle_inside(fresh)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    _settle(place.parent)
    return place


def is_whole(folder: Path) -> bool:
    """Whether every file is as it was unpacked."""
    try:
        sums = json_text.decode((folder / MANIFEST).read_bytes(), dict[str, str])
        return bool(sums) and all(_sum(folder / name) == expected for name, expected in sums.items())
    except (OSError, json_text.NotJson):
        return False


def prune(state_dir: Path, kept: set[str]) -> None:
    """Forget every version but these."""
    releases = state_dir / FOLDER
    for folder in list(releases.iterdir()) if releases.is_dir() else []:
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def is_this_one_of(state_dir: Path) -> bool:
    """Whether the program that runs is one of these versions, and not the installed one."""
    return Path(agent.__file__).resolve().is_relative_to((state_dir / FOLDER).resolve())


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _settle_inside(folder: Path) -> None:
    for inner in sorted(path for path in folder.rglob("*") if path.is_dir()):
        _settle(inner)
    _settle(folder)


def _settle(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
