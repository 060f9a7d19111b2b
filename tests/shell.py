"""Commands of our documents, run as they stand: what they ask of a whole host is answered by the test.

`sudo` becomes nothing, `install` forgets owners, `systemctl` and `pause` ask the test and wait for it.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

Asked = Callable[[list[str]], None]
_ASK = f"""\
#!{sys.executable} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(os.environ["ASKED"])
    line.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    said = line.makefile().readline()
sys.exit(said.strip() or 0)
"""
_SUDO = """\
#!/bin/sh
while :; do case "$1" in -u) shift 2;; *) exec "$@";; esac; done
"""
_INSTALL = """\
#!/bin/sh
for word; do shift; case "$word" in -o|-g) skip=1;; *) [ -n "$skip" ] || set -- "$@" "$word"; skip=;; esac; done
exec /usr/bin/install "$@"
"""
TIMEOUT_S = 120.0


def section(document: Path, heading: str) -> str:
    """What stands below a heading, up to the next of its rank or above."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{document.name} has no heading {heading}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(text: str) -> list[str]:
    """The commands in it: each run of lines that stand four blanks in."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    dedented = (re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n") for block in found)
    return [part for block in dedented for part in re.split(r"\n\n+", block) if part]


class Shell:
    """`run` executes blocks in one bash; `asked` hears each `systemctl ...` and `pause N`, and may raise."""

    def __init__(self, folder: Path, places: Mapping[str, str], asked: Asked) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._places, self._asked = folder, places, asked
        for name, text in {"ask": _ASK, "sudo": _SUDO, "install": _INSTALL}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        for name in ("systemctl", "pause"):
            (folder / name).write_text(f'#!/bin/sh\nexec "{folder}/ask" {name} "$@"\n')
            (folder / name).chmod(0o755)

    def run(self, *commands: str, cwd: Path | None = None, **environ: str) -> str:
        """What they said. A pause stands between two; it fails with the first command that does, or list of them."""
        script = "\n".join(f"{block}\n(exit $?)\npause {number}" for number, block in enumerate(commands))
        for there, here in self._places.items():
            script = script.replace(there, here)
        known = {**os.environ, "PATH": f"{self._folder}:{os.environ['PATH']}", **environ}
        with (
            tempfile.TemporaryDirectory(prefix="ask-") as short,
            _Answering(Path(short) / "asked", self._asked) as answering,
        ):
            known["ASKED"] = f"{short}/asked"
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=cwd or self._folder, env=known,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                timeout=TIMEOUT_S,
            )  # fmt: skip
        if answering.error is not None:
            raise answering.error
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout


class _Answering:
    """Hears what stand-ins ask, one after the other, for the length of a block."""

    def __init__(self, at: Path, asked: Asked) -> None:
        self.error: BaseException | None = None
        self._at, self._asked = at, asked
        self._thread = threading.Thread(target=self._answer, name="host")

    def __enter__(self) -> "_Answering":
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._at))
        self._listening.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _answer(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, line.makefile("rw") as talk:
                words = json.loads(talk.readline())
                try:
                    self._asked(words)
                except BaseException as error:  # noqa: BLE001  # raised again where the test can see it
                    self.error = self.error or error
                    talk.write("the test has failed")
                talk.write("\n")
