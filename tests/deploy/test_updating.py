"""The steps of docs/operations.md, "Updating", as they stand: they install this checkout, and nothing of before."""

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.deploy.shipped import INSTALLED_IN, PROGRAMS, ROOT, trial
from tests.shell import Shell, blocks, section

OLD = "coffee_relay-0.0.1-py3-none-any.whl"
PIP = f"""\
#!/bin/sh
case "$1" in install) shift; printf '%s\\n' "$@" >> "{{told}}" ;; *) exec "{PROGRAMS}/python" -m pip "$@" ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Of a new version, where an older one was built before."""
    made = tmp_path / "checkout"
    for name in [*trial().INSTALLED, "requirements"]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, _with_folder(made / name))
    _with_folder(made / "deploy" / "wheel" / OLD).write_bytes(b"")
    _with_folder(made / "build" / "lib" / "cloud" / "of_before.py").write_text("")
    return made


def _with_folder(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def test_the_steps_install_what_the_checkout_holds(checkout: Path, tmp_path: Path) -> None:
    told, pip = tmp_path / "told", _with_folder(tmp_path / "bin" / "pip")
    restarted: list[list[str]] = []
    pip.write_text(PIP.format(told=told))
    pip.chmod(0o755)
    shell = Shell(tmp_path / "stand-ins", {INSTALLED_IN: str(pip.parent)}, restarted.append)
    shell.run(blocks(section(ROOT / "docs" / "operations.md", "Updating"))[0], cwd=checkout / "deploy")
    given = [checkout / "deploy" / word for word in told.read_text().splitlines() if not word.startswith("-")]
    requirements, *wheels = given
    assert requirements.resolve() == checkout / "requirements" / "runtime.txt"
    [wheel] = wheels
    assert wheel.name != OLD
    names = zipfile.ZipFile(wheel).namelist()
    assert "cloud/cli.py" in names
    assert "cloud/of_before.py" not in names
    assert ["systemctl", "restart", "coffee-cloud-*"] in restarted
