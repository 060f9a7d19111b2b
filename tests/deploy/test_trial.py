"""`deploy/trial.py --dry-run`: every step is shown, no secret is said. `test_live_systemd.py --long` takes them."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.shipped import DEPLOY, ROOT, trial

TRIAL = [sys.executable, str(DEPLOY / "trial.py"), "--domain", "shop.example", "--email", "owner@shop.example"]


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_a_dry_run_shows_every_step(database: str) -> None:
    done = subprocess.run([*TRIAL, "--dry-run", "--database", database], capture_output=True, text=True, check=True)
    for wanted in (
        "coffee.conf",
        "rights.conf",
        "mosquitto.service.d/open-files.conf",
        "coffee-cloud-web.service",
        "Caddyfile",
        "user add owner@shop.example",
    ):
        assert wanted in done.stdout
    assert ("createdb" in done.stdout) == (database == "postgresql")
    assert "PASSWORD=" not in done.stdout


def test_it_says_what_it_needs() -> None:
    assert subprocess.run(TRIAL[:2], capture_output=True, check=False).returncode == 2


def test_what_it_takes_from_this_checkout_is_there_and_nothing_is_built_in_it() -> None:
    done = subprocess.run([*TRIAL, "--dry-run"], capture_output=True, text=True, check=True)
    taken: list[str] = []
    for line in done.stdout.splitlines():
        words = shlex.split(line) if line.startswith("  ") else []
        ours = [word for word in words if word.startswith(str(ROOT))]
        if ours:
            assert words[0] in {"cp", "install"} or ours == [str(ROOT / "requirements/runtime.txt")], line
        taken += ours
    assert len(taken) > 10
    assert all(Path(one).exists() for one in taken)


@pytest.mark.parametrize(("state", "is_there"), [("install ok installed", True), ("install ok half-configured", False)])
def test_a_package_half_installed_is_installed_again(
    state: str, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dpkg-query").write_text(f"#!/bin/sh\necho '{state}'\n")
    (tmp_path / "dpkg-query").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert trial().is_installed("mosquitto") is is_there
