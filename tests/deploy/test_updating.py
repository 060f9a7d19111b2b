"""The steps of docs/operations.md, "Updating", and of deploy/README.md, "The program", as they stand: they install this
checkout, and nothing of before.
"""

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.deploy.shipped import INSTALLED_IN, PROGRAMS, ROOT, trial
from tests.shell import Shell, blocks, section

INSTRUCTIONS, OPERATIONS = ROOT / "deploy" / "README.md", ROOT / "docs" / "operations.md"
OLD = "coffee_relay-0.0.1-py3-none-any.whl"
PIP = f"""\
#!/bin/sh
case "$1" in install) shift; printf '%s\\n' "$@" >> "{{told}}" ;; *) exec "{PROGRAMS}/python" -m pip "$@" ;; esac
"""
NO_VENV = "#!/bin/sh\n"


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


class Host:
    """Its pip notes what it is to install, and builds in earnest; of `coffee-cloud` it hears what is asked."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.asked: list[list[str]] = []
        self._checkout, self._told, pip = checkout, folder / "told", _with_folder(folder / "bin" / "pip")
        stand_ins, places = folder / "stand-ins", {INSTALLED_IN: str(pip.parent), "/var/lib/coffee-cloud": str(folder)}
        self._shell = Shell(stand_ins, places, self.asked.append)
        for program, script in (
            (pip, PIP.format(told=self._told)),
            (pip.with_name("coffee-cloud"), f'#!/bin/sh\nexec "{stand_ins}/ask" coffee-cloud "$@"\n'),
            (stand_ins / "python3", NO_VENV),
        ):
            program.write_text(script)
            program.chmod(0o755)

    def installed(self, *steps: str) -> list[Path]:
        self._shell.run(*steps, cwd=self._checkout / "deploy")
        words = self._told.read_text().splitlines()
        return [self._checkout / "deploy" / word for word in words if not word.startswith("-")]


@pytest.fixture
def host(tmp_path: Path, checkout: Path) -> Host:
    return Host(tmp_path, checkout)


@pytest.mark.long
def test_the_steps_install_what_the_checkout_holds(checkout: Path, host: Host) -> None:
    steps = blocks(section(OPERATIONS, "Updating"))[0]
    requirements, wheel = host.installed(steps)
    assert requirements.resolve() == checkout / "requirements" / "runtime.txt"
    assert wheel.name != OLD
    names = zipfile.ZipFile(wheel).namelist()
    assert "cloud/cli.py" in names
    assert "cloud/of_before.py" not in names
    migrated, restarted = ["coffee-cloud", "migrate"], ["systemctl", "restart", "coffee-cloud-*"]
    assert [words for words in host.asked if words[0] != "pause"] == [migrated, restarted]


@pytest.mark.long
def test_a_first_installation_needs_the_checkout_and_what_it_has_installed(checkout: Path, host: Host) -> None:
    for made_before in ("deploy/wheel", "build"):
        shutil.rmtree(checkout / made_before)
    requirements, wheel = host.installed(*blocks(section(INSTRUCTIONS, "The program")))
    assert requirements.resolve() == checkout / "requirements" / "runtime.txt"
    assert "cloud/cli.py" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize(
    ("document", "heading"),
    [(INSTRUCTIONS, "The program"), (OPERATIONS, "Updating"), (OPERATIONS, "An agent by hand")],
    ids=lambda given: str(given).rpartition("/")[2],
)
def test_a_wheel_takes_the_place_of_one_of_before(document: Path, heading: str) -> None:
    """The number of every wheel is the same: pip says that it is there already, and leaves the program of before."""
    steps = "\n".join(blocks(section(document, heading))).splitlines()
    [installs] = [step for step in steps if "pip install" in step and ".whl" in step]
    assert "--force-reinstall" in installs.split()
