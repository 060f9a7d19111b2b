"""`deploy/trial.py --dry-run`: every step is shown, no secret is said. `test_live_systemd.py --long` takes them."""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    answering(tmp_path / "dpkg-query", f"echo '{state}'", monkeypatch)
    assert trial().is_installed("mosquitto") is is_there


def answering(program: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the host's."""
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def a_trial(module: ModuleType, *, dry_run: bool) -> Any:
    wishes = {"domain": "shop.example", "email": "o@shop.example", "plain_http": True, "database": "postgresql"}
    return module.Trial(argparse.Namespace(**wishes, dry_run=dry_run))


@pytest.mark.parametrize(
    ("runs", "restarted"),
    [
        ("", ["coffee-cloud-worker", "coffee-cloud-web"]),
        (
            "echo 'coffee-cloud-run@8081.service loaded active running Coffee Relay: web and worker on port 8081'",
            ["coffee-cloud-run@8081.service", "coffee-cloud-web"],
        ),
        (
            "[ $1 = list-units ] && echo coffee-cloud-run@8081.service && echo coffee-cloud-worker.service;"
            " [ $1 != is-enabled ] && [ $3 != coffee-cloud-run@8081.service ]",
            ["coffee-cloud-worker.service", "coffee-cloud-web"],
        ),
    ],
    ids=["worker", "run in its place", "run was given up"],
)
def test_what_stands_in_the_workers_place_is_restarted_and_no_worker_enabled(
    runs: str, restarted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(tmp_path / "systemctl", runs, monkeypatch)
    a_trial(trial(), dry_run=True).start_cloud()
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["systemctl", "enable", "--quiet", *restarted] in said
    assert ["systemctl", "restart", *restarted] in said


def test_an_upgrade_that_fails_half_way_restarts_the_programs_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = trial()
    for name in ("PROGRAM", "UNITS"):
        monkeypatch.setattr(module, name, tmp_path)
    done: list[list[object]] = []
    monkeypatch.setattr(module.Trial, "do", lambda _, *words: done.append([*words]))
    a_trial(module, dry_run=False).install_program()
    later = a_trial(module, dry_run=False)
    assert not later.is_installed()
    later.start_cloud()
    assert ["systemctl", "restart", "coffee-cloud-worker", "coffee-cloud-web"] in done
    assert later.is_installed()


@pytest.mark.parametrize(
    ("days", "is_ours", "is_done"), [(31, True, True), (29, True, False), (29, False, True)], ids=str
)
def test_its_own_certificate_is_renewed_a_month_before_it_ends(
    days: int, is_ours: bool, is_done: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, installed = trial(), tmp_path / "server.crt"
    monkeypatch.setattr(module, "AUTHORITY", tmp_path / "authority")
    monkeypatch.setattr(module, "SERVER_CERTIFICATE", installed)
    (tmp_path / "authority").mkdir()
    assert not a_trial(module, dry_run=False).is_certified()
    made = tmp_path / "authority" / "server.crt"
    openssl = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=a"
    subprocess.run([*openssl.split(), "-keyout", tmp_path / "key", "-out", made], check=True, capture_output=True)
    installed.write_bytes(made.read_bytes() if is_ours else b"by another authority")
    assert a_trial(module, dry_run=False).is_certified() is is_done
    assert "GMT; run this again" in a_trial(module, dry_run=False).farewell() or not is_ours


@pytest.mark.parametrize("is_set_up", [True, False], ids=["renewed", "the first"])
def test_a_renewed_certificate_is_read_by_the_broker(
    is_set_up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression: at the first one Debian's own broker was told to read it, and could not."""
    module = trial()
    monkeypatch.setattr(module, "RIGHTS", tmp_path if is_set_up else tmp_path / "none")
    a_trial(module, dry_run=True).certify()
    assert capsys.readouterr().out.strip().endswith("systemctl try-reload-or-restart mosquitto") is is_set_up


def test_the_key_of_an_authority_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = trial()
    monkeypatch.setattr(module, "AUTHORITY", tmp_path)
    done: list[list[object]] = []
    monkeypatch.setattr(module.Trial, "do", lambda _, *words: done.append([*words]))
    (tmp_path / "ca.key").write_text("saved")
    with pytest.raises(SystemExit, match="bring that too"):
        a_trial(module, dry_run=False).certify()
    (tmp_path / "ca.crt").write_text("saved")
    a_trial(module, dry_run=False).certify()
    written = [words[words.index("-keyout") + 1] for words in done if "-keyout" in words]
    assert written == [tmp_path / "server.key"]


@pytest.mark.parametrize("authority", ["", "COFFEE_MACHINES_MQTT_CA=/etc/coffee-relay/company-ca.crt\n"])
def test_no_authority_is_made_where_machines_trust_another(
    authority: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: on a new host the broker had a certificate that no machine believed."""
    module = trial()
    monkeypatch.setattr(module, "ETC", tmp_path)
    monkeypatch.setattr(module, "SERVER_CERTIFICATE", tmp_path / "server.crt")
    env, moved = tmp_path / "cloud.env", a_trial(module, dry_run=False)
    assert not moved.contradiction(), "a fresh host"
    env.write_text(f"COFFEE_PUBLIC_URL=http://shop.example\n{authority}")
    assert "server.crt" in moved.contradiction()
    (tmp_path / "server.crt").touch()
    assert not moved.contradiction()
    (tmp_path / "server.crt").unlink()
    env.write_text(f"COFFEE_PUBLIC_URL=http://shop.example\nCOFFEE_MACHINES_MQTT_CA={tmp_path}/broker-ca.crt\n")
    assert not moved.contradiction(), "its own authority, which was brought"


def test_settings_that_were_brought_are_handed_over_and_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = trial()
    monkeypatch.setattr(module, "ETC", tmp_path)
    monkeypatch.setattr(module, "STATE", tmp_path / "state")
    (tmp_path / "cloud.env").write_text("COFFEE_PUBLIC_URL=http://shop.example\n")
    a_trial(module, dry_run=True).run()
    shown = capsys.readouterr().out
    assert "cloud.env: there already" in shown
    assert f"ln -sfn {tmp_path}/cloud.env {tmp_path}/state/.env" in shown
    assert f"chown root:coffee-cloud {tmp_path}/cloud.env" in shown
