"""Secrets by systemd's credentials: read by every command, named as the settings are, and the drop-in is sound."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.settings import Settings
from tests.deploy.shipped import DEPLOY, INSTALLED_IN, PROGRAMS, directives
from tests.real_parts import missing

UNITS = [DEPLOY / "systemd" / f"coffee-cloud-{name}.service" for name in ("web", "worker", "run@")]
DROP_IN = DEPLOY / "systemd" / "credentials.conf"
EXPOSURE_TENTHS = 16
"""Of systemd's score from 0 (locked in) to 100; what is left is the network."""
SECRET = "a secret text of more than thirty-two characters"


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
