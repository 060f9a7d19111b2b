"""A fresh Debian 12 with a live systemd: mmdebstrap makes its root, systemd-nspawn boots it.

It has no network. What it will install is fetched before, as this machine is set up to.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.deploy.shipped import ROOT
from tests.programs import Program
from tests.real_parts import missing

SOURCE, WHEELS = "/source", "/wheels"
"""Where the container finds this checkout, and the libraries."""
NAME = "shop.test"
"""It is reached by itself under this name."""
RELEASE, PYTHON = "bookworm", "3.11"
BASE = ("systemd-sysv", "dbus", "python3", "ca-certificates")
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", "SUDO_EDITOR=true", "PIP_NO_INDEX=1",
    f"PIP_FIND_LINKS={WHEELS}",
)  # fmt: skip
BOOT_WITHIN_S, COMMAND_WITHIN_S = 120.0, 900.0


def needed() -> None:
    """Skip by name where there can be none."""
    for program, package in {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container"}.items():
        if shutil.which(program) is None:
            missing(f"{program}: missing (install {package})")
    if os.geteuid() != 0:
        missing("a booted Debian: only root can start one")


def make_root(root: Path, packages: Sequence[str]) -> None:
    """With these packages at hand, not installed."""
    fetch = f'chroot "$1" apt-get install -y -qq --no-install-recommends --download-only {shlex.join(packages)}'
    _run("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(BASE)}", "--skip=cleanup/apt",
         f"--customize-hook={fetch}", RELEASE, str(root))  # fmt: skip
    (root / "etc/hostname").write_text(f"{NAME}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {NAME}\n::1 localhost\n")


def fetch_wheels(folder: Path) -> None:
    """The libraries of the cloud, for the container's Python."""
    pythons = [sys.executable, str(shutil.which("python3"))]
    works = [one for one in pythons if subprocess.run([one, "-m", "pip", "-V"], capture_output=True).returncode == 0]
    if not works:
        missing("pip: missing (install python3-pip)")
    _run(works[0], "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:",
         "--python-version", PYTHON, "-r", str(ROOT / "requirements/runtime.txt"), "-d", str(folder))  # fmt: skip


class Container:
    """`with Container(...) as host:` and it has booted; leaving it shuts it down."""

    def __init__(self, root: Path, wheels: Path, log: Path) -> None:
        self._root, self._log = root, log
        binds = [f"--bind-ro={ROOT}:{SOURCE}", f"--bind-ro={wheels}:{WHEELS}"]
        has_systemd = Path("/run/systemd/system").exists()
        self._boot = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine=coffee-{os.getpid()}", *binds,
            "--private-network", "--register=no", *([] if has_systemd else ["--keep-unit"]),
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()

    def run(self, script: str, cwd: str = "/") -> str:
        """What these commands, of a bash of root's, said; the first that fails fails the test."""
        return _run(*self._inside(script, cwd))

    def append(self, file: str, content: str | bytes) -> None:
        """To what it holds already; not below /run or /tmp."""
        with (self._root / file.lstrip("/")).open("ab") as opened:
            opened.write(content if isinstance(content, bytes) else f"{content}\n".encode())

    def boot_again(self) -> None:
        """Off and on."""
        self.run("systemctl poweroff")
        self._program.wait(BOOT_WITHIN_S)
        self._start()

    def _start(self) -> None:
        self._program = Program(self._boot, log=self._log, orphaned=self._root)
        self._program.wait_until_ready(self._is_up, BOOT_WITHIN_S)

    def _is_up(self) -> bool:
        if not self._first_process():
            return False
        asked = self._inside("systemctl is-system-running --wait || true", "/")
        said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=BOOT_WITHIN_S)
        return said.stdout.strip() in {"running", "degraded"}

    def _first_process(self) -> str:
        parent = str(self._program.pid)
        found = subprocess.run(["pgrep", "-P", parent], capture_output=True, text=True, check=False, timeout=30)
        return found.stdout.split()[0] if found.stdout else ""

    def _inside(self, script: str, cwd: str) -> list[str]:
        enter = ["nsenter", "--target", self._first_process(), "--mount", "--uts", "--ipc", "--net", "--pid", "--root"]
        bash = ["bash", "-euo", "pipefail", "-c", f"cd {cwd}\n{script}"]
        return [*enter, "env", "-i", *ENVIRONMENT, *bash]


def _run(*words: str) -> str:
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=COMMAND_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{shlex.join(words)}\nended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout
