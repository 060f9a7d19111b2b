#!/usr/bin/env python3
"""Coffee Relay's one command: makes the environment when it is missing, then does what is asked.

  python3 run.py demo    a coffee bought, poured and paid on this machine (--once: without a person)
  python3 run.py test    the whole test suite (--long: also the tests that take minutes)
  python3 run.py check   format, lint, types, import directions
  python3 run.py bench   benchmarks
  python3 run.py worlds  ten thousand simulated worlds, each held against the promises
  python3 run.py bundle  a signed bundle of the agent, for machines to update themselves by (--key FILE)
  python3 run.py chaos   real programs killed and stopped at random, then every promise checked
  python3 run.py lock    resolve pyproject.toml into requirements/ anew; needs uv (--upgrade: newer versions)

Whatever follows the command is passed on. Imports the standard library only, in a syntax old enough
for an older Python to read the refusal at the end.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)  # never the one in the .venv about to be replaced
STAMP = VENV / "coffee-relay-stamp"  # what .venv holds; removed before a change and written after it
NEEDS = {
    "demo": ["runtime"],
    "test": ["runtime", "oidc", "test"],
    "check": ["runtime", "oidc", "test", "lint"],  # mypy reads the types of everything imported
    "bench": ["runtime", "test"],
    "bundle": ["runtime"],
    "chaos": ["runtime", "test"],
    "worlds": ["runtime", "test"],
}
LOCKS = {  # each is held to the versions of the ones before it
    "runtime": ["pyproject.toml", "--extra=agent", "--extra=cloud", "--extra=simulator", "--group=build"],
    "agent": ["pyproject.toml", "--extra=agent"],  # a coffee machine needs no more
    "oidc": ["pyproject.toml", "--extra=oidc"],  # beside runtime.txt, for who logs in by an identity provider
    "test": ["--group=test"],
    "lint": ["--group=lint"],
}
LOCK_HEADER = "# Made from pyproject.toml by `python3 run.py lock`: every file by its hash, from any index.\n"
HASHED = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"]
TEN_THOUSAND = ["--from", "0", "--count", "10000", "--record", "docs/worlds.md"]
CHECKS = ["ruff format --check .", "ruff check .", "mypy", "lint-imports"]
NOTHING_TO_INSTALL_WITH = """\
Coffee Relay needs something to install its libraries with: uv, or Python's venv and pip; neither works here.
Debian and Ubuntu: `sudo apt install python3-venv`. Anywhere: uv from https://docs.astral.sh/uv"""


def main(command: str, arguments: "list[str]") -> None:
    os.chdir(str(ROOT))
    if command in ("--help", "-h"):
        print(__doc__)
        return
    if command in NEEDS:
        with one_at_a_time():
            prepare_environment(NEEDS[command])
    pass_by_the_proxy()  # only now: beside it nobody would ask for the system's own proxy, which may lead to packages
    if command == "demo":
        become([str(BIN / "coffee-simulator"), "demo", *arguments])
    elif command == "test":
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of programs are started: compile for all of them
        patience = "--timeout=300"  # of one test, when the machine is busy with other things as well
        become([PYTHON, "-m", "pytest", f"-n{test_processes()}", "--dist=loadgroup", patience, *arguments])
    elif command == "bench":
        become([PYTHON, "-m", "bench", *arguments])
    elif command == "bundle":
        become([str(BIN / "coffee-cloud"), "release", "bundle", *arguments])
    elif command == "chaos":
        become([PYTHON, "-m", "tests.chaos", *arguments])
    elif command == "worlds":
        become([PYTHON, "-m", "tests.simulation", *(arguments or TEN_THOUSAND)])
    elif command == "check":
        check()
    elif command == "lock":
        lock(arguments)
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(2)


def pass_by_the_proxy() -> None:
    """All that is started reaches this machine itself, whatever proxy leads to the network."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if known != "*":
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [known, "127.0.0.1,localhost"]))


def test_processes() -> int:
    """More than processors: many tests wait, for a pour or an answer, while others work."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors + 3, 8)


def become(argv: "list[str]") -> None:
    """Turn into this program, so that signals and the exit code are its own."""
    if os.name == "nt":
        sys.exit(subprocess.call(argv))
    os.execv(argv[0], argv)


def check() -> None:
    """Run every check, print its name and time, and what a failed one said; leave with 1 if any failed."""
    failed = 0
    for line in CHECKS:
        program, *rest = line.split()
        started = time.monotonic()
        done = subprocess.run([str(BIN / program), *rest], capture_output=True, text=True, check=False)
        verdict = "FAILED" if done.returncode else "ok"
        print(f"{line:24} {time.monotonic() - started:5.1f} s  {verdict}", flush=True)
        if done.returncode:
            failed = 1
            print(done.stdout + done.stderr, flush=True)
    sys.exit(failed)


def lock(options: "list[str]") -> None:
    """Write the requirement files: exact versions for every platform, hashes, no address."""
    uv = shutil.which("uv") or sys.exit("`run.py lock` needs uv: https://docs.astral.sh/uv")
    before = ()  # type: tuple[str, ...]
    for group, sources in LOCKS.items():
        target = str(requirements(group))
        into = ["-o", target, "--python-version=3.11", "--quiet"]
        run([uv, "pip", "compile", *sources, *before, *into, *HASHED, *options])
        requirements(group).write_text(LOCK_HEADER + requirements(group).read_text())
        before += ("-c", target)


@contextmanager
def one_at_a_time() -> "Iterator[None]":
    """Of several starts at once one prepares the environment and the others find it prepared."""
    with open(__file__, "rb") as this_file:
        if os.name != "nt":
            import fcntl

            fcntl.flock(this_file, fcntl.LOCK_EX)
        yield


def prepare_environment(groups: "list[str]") -> None:
    """Bring .venv to hold these groups of requirements; at once when it already does."""
    maker = f"Python {sys.version_info[:3]} in {ROOT}"
    holds = dict(line.split("=", 1) for line in STAMP.read_text().splitlines()) if STAMP.exists() else {}
    if holds.get("maker") != maker:
        holds = {}
    wanted = {group: fingerprint(group) for group in groups}
    missing = [group for group in groups if holds.get(group) != wanted[group]]
    if not missing:
        return
    started = time.monotonic()
    if holds:
        STAMP.unlink()
    else:
        create_environment()
    install = [*installer(), "--quiet", "--no-deps"]
    say(f"Installing into .venv, once: {', '.join(missing)} ...")
    run([*install, "--require-hashes", *(f"--requirement={requirements(group)}" for group in missing)])
    run([*install, "--no-build-isolation", f"--editable={ROOT}"])
    STAMP.write_text("".join(f"{key}={value}\n" for key, value in {**holds, **wanted, "maker": maker}.items()))
    say(f"... ready after {time.monotonic() - started:.0f} s.")


def fingerprint(group: str) -> str:
    """Changes whenever what would be installed for this group does."""
    content = requirements(group).read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(content).hexdigest()


def requirements(group: str) -> Path:
    return ROOT / "requirements" / (group + ".txt")


def create_environment() -> None:
    """An empty .venv in place of whatever is there."""
    uv = shutil.which("uv")
    with_uv, with_venv = [uv, "venv", "--quiet", "--python", BASE_PYTHON], [BASE_PYTHON, "-m", "venv"]
    for way in [with_uv] if uv else [with_venv, [*with_venv, "--without-pip"]]:
        shutil.rmtree(str(VENV), ignore_errors=True)
        if succeeds([*way, str(VENV)]):
            return
    sys.exit(NOTHING_TO_INSTALL_WITH)


def installer() -> "list[str]":
    """How to install into .venv: by uv, else by its own pip, else by the system's."""
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", PYTHON]
    if succeeds([PYTHON, "-m", "pip", "--version"]):
        return [PYTHON, "-m", "pip", "install"]
    if succeeds([BASE_PYTHON, "-m", "pip", "--version"]):
        return [BASE_PYTHON, "-m", "pip", "--python", PYTHON, "install"]
    sys.exit(NOTHING_TO_INSTALL_WITH)


def succeeds(argv: "list[str]") -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def run(argv: "list[str]") -> None:
    code = subprocess.run(argv, check=False).returncode
    if code:
        sys.exit(f"run.py: this ended with {code}: {' '.join(argv)}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("Coffee Relay needs Python 3.11 or newer; this is " + sys.version.split()[0])
    os.environ.update(UV_PYTHON_DOWNLOADS="never", PIP_DISABLE_PIP_VERSION_CHECK="1")
    try:
        main("".join(sys.argv[1:2]), sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
