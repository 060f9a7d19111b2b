"""`deploy/trial.py --dry-run`: every step is shown, no secret is said."""

import subprocess
import sys

import pytest

from tests.deploy.shipped import DEPLOY

TRIAL = [sys.executable, str(DEPLOY / "trial.py"), "--domain", "shop.example", "--email", "owner@shop.example"]


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_a_dry_run_shows_every_step(database: str) -> None:
    done = subprocess.run([*TRIAL, "--dry-run", "--database", database], capture_output=True, text=True, check=True)
    for wanted in (
        "coffee.conf",
        "rights.conf",
        "coffee-cloud-web.service",
        "Caddyfile",
        "user add owner@shop.example",
    ):
        assert wanted in done.stdout
    assert ("createdb" in done.stdout) == (database == "postgresql")
    assert "PASSWORD=" not in done.stdout


def test_it_says_what_it_needs() -> None:
    assert subprocess.run(TRIAL[:2], capture_output=True, check=False).returncode == 2
