"""Runs one of our programs and writes each call of its own code into `calls.txt`, a line a call. For `bench.walk`."""

import os
import runpy
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

FILE = "calls.txt"
_ROOT = str(Path(__file__).parents[1])


def main() -> None:
    """`python -m bench.traced PACKAGE WORD...`"""
    package = sys.argv.pop(1)
    _follow(package, os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def _follow(package: str, calls: int) -> None:
    """Each line in one write: Python's own files are not made for several threads, nor for a fork."""
    ours = f"{_ROOT}/{package}/"

    def note(frame: FrameType, event: str, _told: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ours) and code.co_name[0] != "<":
            thread, file = threading.current_thread().name, code.co_filename.removeprefix(_ROOT)[1:]
            os.write(calls, f"{time.monotonic()}\t{thread}\t{file}\t{code.co_name}\n".encode())

    threading.setprofile(note)
    sys.setprofile(note)


if __name__ == "__main__":
    main()
