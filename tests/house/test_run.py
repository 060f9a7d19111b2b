"""The launcher: standard library only, readable by an older Python, honest when it can do nothing, repairs itself."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER = (ROOT / "run.py").read_text()
BASE_PYTHON: str = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone holds, as far as making the environment goes."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("agent", "cloud", "protocol", "simulator", "requirements"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("run.py", "pyproject.toml", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def run(clone: Path, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [BASE_PYTHON, str(clone / "run.py"), *arguments]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=False)


def test_the_launcher_imports_nothing_but_the_standard_library() -> None:
    nodes = list(ast.walk(ast.parse(LAUNCHER)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_an_older_python_can_read_the_refusal() -> None:
    ast.parse(LAUNCHER, feature_version=(3, 7))


@pytest.mark.parametrize("arguments", [[], ["brew"]])
def test_an_unknown_command_is_answered_with_those_there_are(arguments: list[str]) -> None:
    told = run(ROOT, *arguments)
    assert told.returncode == 2
    assert "python3 run.py demo" in told.stderr
    assert "python3 run.py chaos" in told.stderr


def test_who_asks_for_help_gets_it() -> None:
    told = run(ROOT, "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "python3 run.py demo" in told.stdout


def test_worlds_are_told_with_the_wishes_that_follow() -> None:
    told = run(ROOT, "worlds", "--help")
    assert told.returncode == 0
    assert "--endless" in told.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "intra.example.org"}, "intra.example.org,127.0.0.1,localhost"),
        ({"no_proxy": "intra.example.org", "NO_PROXY": "unread"}, "intra.example.org,127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_what_it_starts_reaches_this_machine_past_any_proxy(before: dict[str, str], after: str) -> None:
    words = "import os, run; run.pass_by_the_proxy(); print(os.environ.get('no_proxy', os.environ['NO_PROXY']))"
    told = subprocess.run([BASE_PYTHON, "-c", words], cwd=ROOT, env=before, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == after


def test_with_nothing_to_install_with_it_says_so_in_two_lines(clone: Path) -> None:
    nothing = clone / "nothing"
    nothing.mkdir()
    as_if_without_venv_and_pip = (
        "import runpy, shutil, sys; sys._base_executable = shutil.which('false', path='/bin:/usr/bin'); "
        f"sys.argv = ['run.py', 'demo']; runpy.run_path({str(clone / 'run.py')!r}, run_name='__main__')"
    )
    told = subprocess.run(
        [BASE_PYTHON, "-c", as_if_without_venv_and_pip],
        env={**os.environ, "PATH": str(nothing)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 2
    assert "python3-venv" in told.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_environment_is_made_once_and_made_again_when_it_was_left_half_made(clone: Path) -> None:
    first = run(clone, "test", "--version")
    assert first.returncode == 0, first.stderr
    assert "Installing" in first.stderr
    programs = {path.name for path in (clone / ".venv" / "bin").iterdir()}
    assert {"coffee-agent", "coffee-cloud", "coffee-simulator"} <= programs

    second = run(clone, "test", "--version")
    assert second.returncode == 0
    assert "Installing" not in second.stderr

    (clone / ".venv" / "coffee-relay-stamp").unlink()  # as a kill in the middle leaves it
    shutil.rmtree(next((clone / ".venv").glob("lib/python*/site-packages/pytest")))
    third = run(clone, "test", "--version")
    assert third.returncode == 0, third.stderr


def test_tests_of_one_group_are_run_by_one_process(tmp_path: Path) -> None:
    """A pytest newer than its xdist ignored the groups: six demos were started by every process (pyproject.toml)."""
    (tmp_path / "test_it.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('number', range(8))\n"
        "def test_it(number):\n"
        "    pathlib.Path(os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    options = ["-n2", "--dist=loadgroup", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, timeout=100)
    assert len(list(tmp_path.glob("gw*"))) == 1
