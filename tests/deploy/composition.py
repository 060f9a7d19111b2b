"""deploy/compose.yaml in a real container engine, set up by the steps of deploy/README.md as they stand.

Another project name than the real one, so nothing of a real composition is touched; ports and subnet are the real ones.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import requests

from tests.deploy.image import in_context
from tests.deploy.shipped import DEPLOY, ROOT
from tests.programs import answers
from tests.real_parts import missing
from tests.shell import blocks, section
from tests.waiting import wait_until

README = DEPLOY / "README.md"
PROJECT = "coffee-relay-of-a-test"
PORTS = (80, 443, 8883)
GATEWAY = "172.30.80.1"
"""This host, as Caddy's and web's network sees it."""
DONE_WITHIN_S, READY_WITHIN_S = 1500.0, 180.0
SUDO = 'sudo() { "$@"; }\n'


def look_for_an_engine() -> None:
    """Skip by name where there is none."""
    for words in (["docker", "compose", "version"], ["docker", "info"]):
        if shutil.which("docker") is None or subprocess.run(words, capture_output=True, check=False).returncode:
            missing(f"Docker with Compose 2: missing (`{' '.join(words)}` must work)")
    if os.geteuid() != 0:
        missing("the steps that need sudo: not root")
    if taken := [port for port in PORTS if answers(port)]:
        missing(f"the ports of compose.yaml: taken ({taken})")


class Composition:
    """All its services, from `up` until the end of the block; then nothing of them is left."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """`settings`: what a person writes into cloud.env."""
        self.deploy = folder / "deploy"
        self.ca = folder / "web.crt"
        """Whom browsers trust here: Caddy makes itself an authority for `localhost`."""
        self._settings = {"COFFEE_PUBLIC_URL": "https://localhost", **settings}
        for path in [
            ROOT / "pyproject.toml",
            ROOT / "README.md",
            *_below("requirements", "protocol", "cloud", "deploy"),
        ]:
            if in_context(path) or DEPLOY in path.parents:
                (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / path.relative_to(ROOT))

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--rmi", "local", "--timeout", "60")

    def compose(self, *words: str) -> str:
        """What it said; it must end well."""
        return self._run(["docker", "compose", *words])

    def coffee_cloud(self, *words: str) -> str:
        return self.compose("run", "--rm", "-T", "worker", *words)

    def wait_ready(self) -> None:
        wait_until(self._is_ready, READY_WITHIN_S, what="https://localhost/ready")

    def _set_up(self) -> None:
        """Certificate, the files to fill in, and all the rest of the README's steps."""
        secret = "\n".join(blocks(section(README, "The broker's secrets"))).replace("broker.example.org", "localhost")
        steps = "\n".join(blocks(section(README, "On one host with Compose")))
        begin, rest = steps.split("\n", 1)
        self._bash(f"umask 077\n{secret}")
        self._bash(begin)
        self._fill_in(self.deploy / "cloud.env", self._settings)
        self._fill_in(self.deploy / ".env", {"SITE": "localhost", "POSTGRES_PASSWORD": "0123456789abcdef"})
        folders, rest = rest.split("\n", 1)
        self._bash(folders)
        self._bash("cp server.crt server.key secrets/mosquitto; install -m 0644 ca.crt secrets/cloud/broker-ca.crt")
        self._bash(rest)
        root = "/data/caddy/pki/authorities/local/root.crt"
        wait_until(lambda: self._is_there(root), READY_WITHIN_S, what="Caddy's authority")
        self.ca.write_text(self.compose("exec", "-T", "caddy", "cat", root))

    def _fill_in(self, file: Path, told: Mapping[str, str]) -> None:
        text = file.read_text(encoding="utf-8")
        for name, value in told.items():
            text, count = re.subn(rf"^#?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            text += "" if count else f"{name}={value}\n"
        file.write_text(text, encoding="utf-8")

    def _is_there(self, path: str) -> bool:
        return subprocess.run(
            ["docker", "compose", "exec", "-T", "caddy", "test", "-f", path],
            cwd=self.deploy, env=self._env, capture_output=True, check=False,
        ).returncode == 0  # fmt: skip

    def _is_ready(self) -> bool:
        try:
            return requests.get("https://localhost/ready", verify=str(self.ca), timeout=5).status_code == 200
        except requests.RequestException:
            return False

    @property
    def _env(self) -> dict[str, str]:
        return os.environ | {"COMPOSE_PROJECT_NAME": PROJECT}

    def _bash(self, script: str) -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", SUDO + script])

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self.deploy, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=DONE_WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{words[-1]}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def _below(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
