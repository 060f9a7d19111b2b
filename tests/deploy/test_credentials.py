"""Secrets by systemd's credentials: read by every command, named as the settings are, and the drop-in is sound."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.settings import Settings
from tests.deploy.shipped import DEPLOY, INSTALLED_IN, PROGRAMS, ROOT, directives, trial
from tests.real_parts import missing
from tests.shell import Shell, blocks, section

UNITS = [DEPLOY / "systemd" / f"coffee-cloud-{name}.service" for name in ("web", "worker", "run@")]
DROP_IN = DEPLOY / "systemd" / "credentials.conf"
EXPOSURE_TENTHS = 16
"""Of systemd's score from 0 (locked in) to 100; what is left is the network."""
SECRET = "a secret text of more than thirty-two characters"
OPERATIONS = ROOT / "docs" / "operations.md"
BY_LINES = blocks(section(OPERATIONS, "Changing keys"))[0]
BY_SYSTEMD, BY_FILES = blocks(section(OPERATIONS, "Secrets as credentials"))
SYSTEMD_RUN = f"""\
#!{sys.executable} -S
import os, pathlib, sys, tempfile
words, told, loaded = sys.argv[1:], {{}}, {{}}
while words[0].startswith("-"):
    if (word := words.pop(0)) == "-p":
        name, _, value = words.pop(0).partition("=")
        if name == "LoadCredential":
            loaded.update([value.split(":")])
        else:
            told[name] = value
    elif word not in ("--pipe", "--wait", "--collect", "--quiet"):
        sys.exit(word)
lines = pathlib.Path(told["EnvironmentFile"]).read_text().splitlines()
folder = tempfile.mkdtemp(dir=os.environ["CREDENTIALS"])
for name, path in loaded.items():
    pathlib.Path(folder, name).write_bytes(pathlib.Path(path).read_bytes())
os.chdir(told["WorkingDirectory"])
env = {{"PATH": os.environ["PATH"], "PYTHONPATH": "{ROOT}", "CREDENTIALS_DIRECTORY": folder, "LOGNAME": told["User"]}}
os.execve(words[0], words, env | dict(line.split("=", 1) for line in lines))
"""
"""As systemd does it for the words that are documented."""


def loaded() -> dict[str, str]:
    """The settings that the drop-in gives, and their files."""
    pairs = [value.partition(":") for name, value in directives(DROP_IN) if name == "LoadCredential"]
    return {name: path for name, _, path in pairs}


def check(folder: Path, credentials: Path | None, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("COFFEE_", "CREDENTIALS"))}
    given |= environ | ({"CREDENTIALS_DIRECTORY": str(credentials)} if credentials else {})
    given["PYTHONPATH"] = str(DEPLOY.parent)
    return subprocess.run(
        [sys.executable, "-m", "cloud", "migrate"], cwd=folder, env=given, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_a_program_reads_its_secrets_from_the_credentials_folder(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "COFFEE_SECRET_KEY").write_text(SECRET + "\n")
    (credentials / "COFFEE_DATABASE_URL").write_text(f"sqlite:///{tmp_path}/by-credential.db")
    (credentials / "something-else").write_bytes(b"\xff")
    assert check(tmp_path, None).returncode == 2
    done = check(tmp_path, credentials)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "by-credential.db").exists()
    assert SECRET not in done.stdout + done.stderr
    done = check(tmp_path, credentials, COFFEE_DATABASE_URL=f"sqlite:///{tmp_path}/by-environment.db")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "by-environment.db").exists()


def test_the_drop_in_names_secrets_that_there_are() -> None:
    known = {f"COFFEE_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert loaded().keys() <= known
    assert "COFFEE_SECRET_KEY" in loaded()
    assert {Path(path).name for path in loaded().values()} == set(loaded())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit_with_its_drop_in_and_judges_it_well_locked_in(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: missing (install systemd)")
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace(INSTALLED_IN, str(PROGRAMS)))
    (tmp_path / f"{unit.name}.d").mkdir()
    (tmp_path / f"{unit.name}.d" / DROP_IN.name).write_text(DROP_IN.read_text())
    verdict = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, check=False, timeout=60
    )
    assert not re.search(r"credentials\.conf|LoadCredential", verdict.stderr), verdict.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS}", installed],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "unrecognized option" in judged.stderr or "Unknown" in judged.stderr:
        missing("systemd-analyze: too old to judge a unit that is not installed")
    assert judged.returncode == 0, judged.stdout


class Host:
    """Its secrets are files, loaded by the worker's drop-in; a shell there."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.secrets = self.etc / "credentials"
        drop_in = folder / "units" / "coffee-cloud-worker.service.d" / DROP_IN.name
        for place in (self.secrets, drop_in.parent, folder / "var", folder / "loaded"):
            place.mkdir(parents=True)
        places = {
            "/etc/coffee-relay": str(self.etc), "/etc/systemd/system": str(folder / "units"),
            "/var/lib/coffee-cloud": str(folder / "var"), INSTALLED_IN: str(PROGRAMS),
        }  # fmt: skip
        drop_in.write_text(DROP_IN.read_text().replace("/etc/coffee-relay", str(self.etc)))
        (self.etc / "cloud.env").write_text("COFFEE_LOG=json\n")
        (folder / "var" / ".env").symlink_to(self.etc / "cloud.env")
        known = {"COFFEE_SECRET_KEY": SECRET, "COFFEE_DATABASE_URL": f"sqlite:///{folder}/coffee.db"}
        for name in loaded():
            (self.secrets / name).write_text(known.get(name, "") + "\n")
        self._shell, self._loaded = Shell(folder / "stand-ins", places, lambda _: None), folder / "loaded"
        (folder / "stand-ins" / "systemd-run").write_text(SYSTEMD_RUN)
        (folder / "stand-ins" / "systemd-run").chmod(0o755)

    def run(self, *commands: str) -> str:
        return self._shell.run(*commands, CREDENTIALS=str(self._loaded), PYTHONPATH=str(ROOT))

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.long
def test_a_command_by_hand_has_the_secrets_that_the_units_have(host: Host) -> None:
    by_hand = BY_SYSTEMD.removesuffix("coffee_cloud check")
    with pytest.raises(AssertionError, match="COFFEE_SECRET_KEY must be"):
        host.run(BY_LINES, "coffee_cloud migrate")
    host.run(BY_LINES, by_hand, "coffee_cloud migrate")
    host.run(by_hand, "coffee_cloud backup a.backup && coffee_cloud restore --check a.backup")
    with pytest.raises(AssertionError, match="ended with 1"):
        host.run(by_hand, "coffee_cloud revoke nobody")


@pytest.mark.long
def test_the_trial_has_the_secrets_that_the_units_have(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it ended with "Settings are wrong" on a new host, and added the first user again on an old one."""
    module = trial()
    monkeypatch.setattr(module, "UNITS", host.etc.parent / "units")
    host.run(*(shlex.join(module.as_coffee_cloud(*words)) for words in (["migrate"], ["user", "add", "o@a.example"])))
    assert "o@a.example" in host.run(shlex.join(module.as_coffee_cloud("user", "list")))


@pytest.mark.long
def test_the_secret_key_is_changed_where_it_is_a_credential(host: Host) -> None:
    """By the same steps, with functions for files."""
    known = (BY_LINES, BY_SYSTEMD.replace("coffee_cloud check", "coffee_cloud migrate"), BY_FILES)
    change, _ = blocks(section(OPERATIONS, "The secret key of the installation"))
    host.run(*known, change)
    assert host.secret("COFFEE_SECRET_KEY") != SECRET
    assert host.secret("COFFEE_OLD_SECRET_KEYS").split(",") == [SECRET, ""]
    assert (host.secrets / "COFFEE_SECRET_KEY").stat().st_mode & 0o777 == 0o600
    with pytest.raises(AssertionError, match="NORTH_KEY"):
        host.run(*known, "put $settings NORTH_KEY new && false")
    assert not (host.secrets / "NORTH_KEY").exists()
