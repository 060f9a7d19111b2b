"""Puts the application on a port with gunicorn: `web` alone, or `run` with the background work in the same process."""

import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from sqlalchemy.exc import SQLAlchemyError

from cloud.background.loops import Loop
from cloud.database.listen import ChangeListener
from cloud.http.whole_requests import WholeRequests
from cloud.payments import openings
from cloud.processes import one_processor
from cloud.processes.app import STREAMS, create_app
from cloud.processes.gc_tuning import spare_what_stays
from cloud.processes.worker import Worker
from cloud.settings import Settings
from cloud.wiring import Cloud, build

WEB_STREAMS = 1100
"""Event streams one web process holds: a thousand pages and room for those that connect anew (docs/operations.md)."""
RUN_STREAMS = STREAMS
"""Fewer where the worker is in the same process: paho's `select` fails silently above 1023 open files."""
OTHERS = 56
"""Threads that answer everything else."""
KEPT_ALIVE = 500
"""Connections that rest between two requests, or bring one; they hold no thread."""
STACK = 512 * 1024
"""Bytes; the system's 8 MiB times a thousand threads would only look frightening, none uses a fraction of it."""
MOST_FILES = 8192
"""Open files a process may want: a thousand connections do not fit the usual 1024."""
GRACE_S = 50
"""From SIGTERM on, for all: longer than a provider's client waits for its answer, so that no call is cut off. What runs
us gives us longer (deploy/).
"""
ANSWERS_S = 15
"""Of it, for the requests that have come: longer than a press waits and than a client may take for its answer."""
KEEP_ALIVE_S = 30
RENEWED_WITHIN_S = 5.0


class OurLines(Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn says goes where all our lines go, in their form. Its own form needs what ours leaves out."""

    def setup(self, cfg: Any) -> None:
        """Called at each start of its configuration."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """A client that does not take its answer is no error of ours."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client did not take its answer in time")
        else:
            super().exception(msg, *args, **kwargs)


class TwoSignals(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """SIGTERM or Ctrl-C: all that is under way ends, then the program. A second one: the program ends now."""

    _is_asked = False

    def signal(self, sig: int, frame: Any) -> None:
        """Called by the system."""
        if sig in {signal.SIGTERM, signal.SIGINT}:
            sig = signal.SIGINT if self._is_asked else signal.SIGTERM
            self._is_asked = True
        super().signal(sig, frame)


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One application, built after the fork: connections and threads do not survive one."""

    def __init__(self, settings: Settings, processes: int = 1, with_worker: bool = False) -> None:
        self._settings = settings
        self._processes = processes
        self._with_worker = with_worker
        self._cloud: Cloud | None = None
        self._worker: Worker | None = None
        self._loops: list[Loop] = []
        self._streams = RUN_STREAMS if with_worker else WEB_STREAMS
        super().__init__()

    def run(self) -> None:
        """Serve until a signal ends it."""
        TwoSignals(self).run()

    def load_config(self) -> None:
        """Our settings in gunicorn's words."""
        values: dict[str, Any] = {
            "bind": self._settings.bind,
            "workers": self._processes,
            "worker_class": WholeRequests.with_limits(KEPT_ALIVE, self._settings.trusted_proxies, self._begin_to_end),
            "threads": self._streams + OTHERS,
            "worker_connections": self._streams + OTHERS + KEPT_ALIVE,
            "graceful_timeout": GRACE_S,
            "keepalive": KEEP_ALIVE_S,
            "loglevel": "warning",
            "logger_class": OurLines,
            "control_socket_disable": True,  # it would want a writable home folder
            "worker_exit": lambda _arbiter, _worker: self._end(),
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in each gunicorn process."""
        threading.stack_size(STACK)
        self.cfg.set("graceful_timeout", ANSWERS_S)  # of this process alone: the first one waits for all of its end
        if not self._with_worker:
            _allow_many_files()
        self._cloud = build(self._settings)
        with suppress(SQLAlchemyError):  # by its own clock until the watch can ask
            self._cloud.database.set_clock()
        wakeups = self._cloud.database.wakeups
        if self._with_worker:
            self._worker = Worker(self._cloud)
            self._worker.start()
            if (alone := one_processor.chosen_by(self._settings.processors)) is not None:
                self._loops = [Loop("processor", alone, wakeups, None, self._cloud.clock)]
        else:
            self._loops = [
                Loop("openings", self._cloud.openings, wakeups, openings.TOPIC, self._cloud.clock),
                Loop("counts", self._cloud.keeper, wakeups, None, self._cloud.clock),
            ]
        for loop in self._loops:
            loop.start()
        ChangeListener(self._cloud.database).start()
        app = create_app(self._cloud, self._streams)
        spare_what_stays()
        return app

    def _begin_to_end(self) -> None:
        if self._cloud is not None:
            self._cloud.ending.begin()

    def _end(self) -> None:
        """Wait for the calls under way, whose leases are renewed meanwhile."""
        if self._cloud is None:
            return
        self._cloud.ending.finish()
        if self._worker is not None:
            self._worker.stop()
        for loop in self._loops:
            loop.stop()
        for loop in self._loops:
            loop.join(RENEWED_WITHIN_S)
        self._cloud.keeper.end()
        self._cloud.close()


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
