"""Puts the application on a port with gunicorn: `web` alone, or `run` with the background work in the same process."""

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from cloud.app import STREAMS, create_app
from cloud.settings import Settings
from cloud.watch import Watch
from cloud.wiring import Cloud, build
from cloud.worker import Worker

THREADS = STREAMS + 56
"""Each open event stream holds one (about 30 KiB); the rest answer everything else."""
GRACE_S = 2
KEEP_ALIVE_S = 30


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One application, built after the fork: connections and threads do not survive one."""

    def __init__(self, settings: Settings, processes: int = 1, with_worker: bool = False) -> None:
        self._settings = settings
        self._processes = processes
        self._with_worker = with_worker
        self._cloud: Cloud | None = None
        self._worker: Worker | None = None
        super().__init__()

    def load_config(self) -> None:
        """Our settings in gunicorn's words."""
        values: dict[str, Any] = {
            "bind": self._settings.bind,
            "workers": self._processes,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": GRACE_S,
            "keepalive": KEEP_ALIVE_S,
            "loglevel": "warning",
            "control_socket_disable": True,  # it would want a writable home folder
            "worker_exit": lambda _arbiter, _worker: self._end(),
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in each gunicorn process."""
        self._cloud = build(self._settings)
        if self._with_worker:
            self._worker = Worker(self._cloud)
            self._worker.start()
        if not (self._with_worker and self._cloud.database.is_sqlite):
            Watch(self._cloud.database).start()  # alone on its SQLite file, nobody else can change it
        return create_app(self._cloud)

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        if self._cloud is not None:
            self._cloud.close()
