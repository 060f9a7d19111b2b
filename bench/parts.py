"""A stand-in for somebody outside the cloud, in a process of its own, so that it takes no turn from what is measured.

A part does its work in threads, keeps records of what it saw when, and gives them to the bench when asked.
"""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, Protocol, TypeVar

START_WITHIN_S = 30.0
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.stage"])
"""Imported once and not by each part, which is a second of processor every time."""
T = TypeVar("T", covariant=True)


class Working(Protocol[T]):
    """The part at work, in its own process."""

    def address(self) -> Any:
        """What others need to find it."""

    def take(self) -> T:
        """The records since the last call."""

    def close(self) -> None:
        """End the work."""


class Part(Generic[T]):
    """The bench's handle on one part. `build(*arguments)` runs over there and makes what works."""

    def __init__(self, name: str, build: Callable[..., Working[T]], *arguments: Any) -> None:
        self.name = name
        self._line, other = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(other, build, arguments), name=name, daemon=True)

    def __enter__(self) -> "Part[T]":
        self._process.start()
        self.address: Any = self._receive()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.send("end")
        self._process.join(START_WITHIN_S)
        self._line.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def take(self) -> T:
        """What it saw since the last call."""
        self._line.send("take")
        taken: T = self._receive()
        return taken

    def _receive(self) -> Any:
        if not self._line.poll(START_WITHIN_S):
            raise TimeoutError(f"{self.name} does not answer")
        return self._line.recv()


def semaphore(value: int) -> Any:
    """Counts across processes; given to parts as an argument."""
    return _CONTEXT.Semaphore(value)


def _serve(line: Connection, build: Callable[..., Working[Any]], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the bench ends us in order
    working = build(*arguments)
    try:
        line.send(working.address())
        while line.recv() == "take":
            line.send(working.take())
    except EOFError:
        pass
    finally:
        working.close()
        line.close()
