"""A program's own styles, scripts and pictures: addresses that name the content, so that a browser may keep them."""

import hashlib
from functools import cached_property
from pathlib import Path

from flask import Response, request, url_for

KEPT = f"public, max-age={365 * 24 * 3600}, immutable"
"""The `Cache-Control` of what its address names."""


class OwnFiles:
    """The files of one folder, which a blueprint serves at `endpoint`."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self._endpoint = endpoint
        self._folder = folder

    def address(self, name: str) -> str:
        """The address of one file; it may be kept for ever."""
        return url_for(self._endpoint, filename=name, v=self._fingerprints[name])

    def may_keep(self, response: Response) -> bool:
        """Whether this answers the request under way with the very content that its address names.

        While versions are replaced one asks for what only the other has.
        """
        if request.endpoint != self._endpoint or response.status_code not in {200, 304}:
            return False
        known = self._fingerprints.get((request.view_args or {}).get("filename", ""))
        return known is not None and request.args.get("v") == known

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        files = (path for path in self._folder.iterdir() if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}
