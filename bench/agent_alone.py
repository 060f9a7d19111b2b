"""The agent installed as on a machine: our wheel, built and unpacked, beside its three libraries. Needs no network."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = ("msgspec", "paho-mqtt", "pyserial")


def installed_alone(folder: Path) -> Path:
    """What `pip install .[agent]` puts on a machine, without a network."""
    source = folder.with_name(f"{folder.name}-source")
    for name in ("agent", "cloud", "protocol", "simulator"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, source.absolute()], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    for library in LIBRARIES:
        for file in metadata.files(library) or []:
            if ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder
