"""`python -m tests.agent.watched_agent FILE`: the real agent; each path it writes or changes goes to FILE."""

import os
import sys
from typing import Any

from agent import cli

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "sqlite3.connect"}


def watch(number: int) -> None:
    """From now on each change of the file system is one line there."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        is_write = event == "open" and isinstance(args[2], int) and args[2] & _WRITING
        if (is_write or event in _CHANGES) and isinstance(args[0], str | bytes | os.PathLike):
            os.write(number, os.fsencode(os.path.abspath(os.fspath(args[0]))) + b"\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    watch(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    sys.exit(cli.main(["run"]))
