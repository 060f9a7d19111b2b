"""Bundles a test makes of this very agent under another version, and a web server that has them."""

import hashlib
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import AGENT_VERSION
from cloud.releases import bundling
from protocol.messages import Update
from tests.certificates import Authority

ROOT = Path(__file__).parents[3]
NEWER = "0.2.0"
Patch = dict[str, Callable[[str], str]]
"""What becomes of the text of each of these files."""
QUICK: Patch = {"agent/update/probation.py": lambda text: text.replace("STEADY_S = 3.0", "STEADY_S = 0.2")}


def appended(more: str) -> Callable[[str], str]:
    return lambda text: f"{text}\n\n{more}\n"


@dataclass(frozen=True)
class Bundle:
    """One that is served."""

    version: str
    url: str
    content: bytes

    def job(self, job_id: str = "u1", **more: Any) -> Update:
        now = datetime.now(UTC)
        said: dict[str, Any] = {
            "job_id": job_id, "issued_at": now, "deadline_at": now + timedelta(seconds=60), "version": self.version,
            "url": self.url, "size": len(self.content), "sha256": hashlib.sha256(self.content).hexdigest(),
        }  # fmt: skip
        return Update(**said | more)


class Shelf:
    """Bundles by their version, signed by `key` unless another is given; whoever asks waits until it `gives`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self.gives = threading.Event()
        self.gives.set()
        self.key = Ed25519PrivateKey.generate()
        self.public = bundling.public_text(self.key.public_key())

    def put(
        self, version: str = NEWER, patch: Patch | None = None, *, key: Ed25519PrivateKey | None = None, **more: Any
    ) -> Bundle:
        """One of this agent, as that version, its files patched."""
        source = self._folder / f"source-{version}"
        for package in bundling.PACKAGES:
            shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", source)
        renamed: Patch = {"agent/__init__.py": lambda text: text.replace(f'"{AGENT_VERSION}"', f'"{version}"')}
        for name, change in (QUICK | renamed | (patch or {})).items():
            path = source / name
            path.write_text(change(path.read_text()))
        _, content = bundling.make(source, key or self.key, **{"ready_within_s": 20.0} | more)
        return self.serve(version, content)

    def serve(self, version: str, content: bytes) -> Bundle:
        (self._folder / version).write_bytes(content)
        return Bundle(version, f"{self._url}/{version}", content)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, folder: Path, gives: threading.Event) -> None:
        self._gives = gives
        super().__init__(*args, directory=str(folder))

    def do_GET(self) -> None:
        self._gives.wait(60)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def a_shelf(folder: Path, authority: Authority | None = None) -> Iterator[Shelf]:
    """Over HTTPS where there is an `authority`."""
    folder.mkdir()

    def handler(*args: Any) -> _Handler:
        return _Handler(*args, folder=folder, gives=shelf.gives)

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        shelf = Shelf(folder, f"{'https' if authority else 'http'}://127.0.0.1:{server.server_port}")
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.sign("shelf"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield shelf
        shelf.gives.set()
        server.shutdown()
        thread.join(10)
