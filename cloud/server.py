"""Puts the application on a port: gunicorn for `web`, a threaded server in the same process as the worker for `run`."""

import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from cloud.app import create_app
from cloud.settings import Settings
from cloud.watch import Watch
from cloud.wiring import build

THREADS = 64
"""Each open event stream holds one."""
GRACE_S = 5


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The `web` process: one gunicorn worker, many threads, the application built after the fork."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings = settings
        self._workers = workers
        super().__init__()

    def load_config(self) -> None:
        """Our settings in gunicorn's words."""
        for name, value in {
            "bind": self._settings.bind,
            "workers": self._workers,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": GRACE_S,
            "keepalive": 30,
            "accesslog": None,
            "loglevel": "warning",
            "control_socket_disable": True,
        }.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in each gunicorn worker: connections must not be shared over a fork."""
        cloud = build(self._settings)
        Watch(cloud.database).start()
        return create_app(cloud)


class KeepAlive(WSGIRequestHandler):
    """HTTP/1.1 with connections kept, so that a poll costs no new connection."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Small answers go out at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Requests are not logged; what they change is."""


def threaded_server(app: Flask, settings: Settings) -> BaseWSGIServer:
    """A server for one machine: a thread for each connection. Port 0 takes a free one."""
    host, port = settings.address
    return make_server(host, port, app, threaded=True, request_handler=KeepAlive)
