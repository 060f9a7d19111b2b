"""deploy/Dockerfile's own steps, in order, in a folder in place of an image: no container engine is needed.

Absolute paths lead into the folder. What changes a whole host (packages, users) is remembered, not done.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.deploy.shipped import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "Dockerfile"
IGNORED = DEPLOY / "Dockerfile.dockerignore"
PLACES = ("/opt", "/src", "/tmp", "/var/lib", "/nonexistent")
"""Whatever the steps may write to, and nothing else."""
NOT_DONE = ("apt-get", "groupadd", "useradd")
TIMEOUT_S = 600.0


@dataclass
class Step:
    """One instruction."""

    word: str
    rest: str


def steps() -> list[Step]:
    """As they stand in the file, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def python_version() -> str:
    """Of the last stage."""
    found = re.findall(r"^FROM python:([\d.]+)-slim", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(found)) == 1
    return str(found[-1])


def in_context(path: Path) -> bool:
    """Whether the build is given this file: the last line of the ignore file that fits decides."""
    is_given = True
    name = path.relative_to(ROOT).as_posix()
    for line in IGNORED.read_text().split():
        pattern = line.removeprefix("!").removeprefix("**/")
        fits = name == pattern or name.startswith(f"{pattern}/") or fnmatch(name, pattern)
        if fits or (line.startswith("**/") and any(fnmatch(part, pattern) for part in path.parts)):
            is_given = line.startswith("!")
    return is_given


@dataclass
class Image:
    """`build` fills the folder; then `entrypoint`, `user` and `environment` say how its programs start."""

    folder: Path
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    user: str = "0:0"
    workdir: str = "/"
    asked: list[str] = field(default_factory=list)
    """Commands of `NOT_DONE`."""

    def build(self) -> None:
        self._stand_ins = self.folder / "stand-ins"
        self._stand_ins.mkdir(parents=True)
        for name in NOT_DONE:
            (self._stand_ins / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/asked"\n')
            (self._stand_ins / name).chmod(0o755)
        (self._stand_ins / "python").write_text(f'#!/bin/sh\nexec "{self.python}" "$@"\n')
        (self._stand_ins / "python").chmod(0o755)
        for step in steps():
            getattr(self, f"_do_{step.word.lower()}")(step.rest)
        self.asked = (self.folder / "asked").read_text().splitlines()

    def here(self, text: str) -> str:
        """With the image's paths led into the folder; any other absolute path is a fault."""
        strange = [path for path in re.findall(r"(?<![\w./$-])/\w[\w./*-]*", text) if not path.startswith(PLACES)]
        assert not strange, f"{text} touches {strange}"
        return re.sub(rf"(?<![\w./])({'|'.join(PLACES)})(?=[/\s]|$)", rf"{self.folder}\1", text)

    def command(self, *words: str) -> list[str]:
        """As a container runs it."""
        return [self.here(word) for word in self.entrypoint] + list(words)

    def _do_from(self, rest: str) -> None:
        self.environment, self.workdir, self.user = {}, "/", "0:0"

    def _do_env(self, rest: str) -> None:
        self.environment |= dict(word.split("=", 1) for word in shlex.split(rest))

    def _do_workdir(self, rest: str) -> None:
        self.workdir = rest.strip()
        Path(self.here(self.workdir)).mkdir(parents=True, exist_ok=True)

    def _do_copy(self, rest: str) -> None:
        words = rest.split()
        if words[0].startswith("--from="):
            return  # one folder holds all stages
        *sources, target = words
        place = Path(self.here(self.workdir)) / target
        for source in sources:
            given = [path for path in _files(ROOT / source) if in_context(path)]
            assert given, f"{source} is not given to the build"
            for path in given:
                inside = path.relative_to(ROOT / source) if (ROOT / source).is_dir() else Path(path.name)
                (place / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place / inside)

    def _do_run(self, rest: str) -> None:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("COFFEE", "PYTHON", "VIRTUAL"))
        }
        quick = {"PIP_NO_COMPILE": "1"}
        env = kept | quick | {"PATH": f"{self._stand_ins}:{os.environ['PATH']}"} | self.environment
        workdir = Path(self.here(self.workdir)) if self.workdir != "/" else self.folder
        done = subprocess.run(
            ["sh", "-ec", self.here(rest)], cwd=workdir, env=env, capture_output=True, text=True, check=False,
            timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{rest}:\n{done.stdout}{done.stderr}"

    def _do_user(self, rest: str) -> None:
        self.user = rest.strip()

    def _do_entrypoint(self, rest: str) -> None:
        self.entrypoint = [word.strip('" ') for word in rest.strip("[]").split(",")]

    def _do_expose(self, rest: str) -> None:
        pass

    def _do_cmd(self, rest: str) -> None:
        pass


def _files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
