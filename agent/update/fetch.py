"""Fetches a bundle over HTTP: so many bytes and no more, and only what was meant."""

import hashlib
import http.client
import urllib.request

from agent import tls

PATIENCE_S = 20.0
"""With each read."""
PIECE = 64 * 1024


class NotFetched(Exception):
    """Why not."""


def fetch(url: str, size: int, sha256: str, ca_files: tuple[str | None, ...]) -> bytes:
    """Raises `NotFetched`. Authorities beside the public ones may have signed the server's certificate."""
    if not url.startswith(("https://", "http://")):
        raise NotFetched("its address begins with neither https:// nor http://")
    try:
        context = tls.client_context(*ca_files, and_public=True)
        with urllib.request.urlopen(url, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310  (looked at above)
            content = bytearray()
            while len(content) <= size and (piece := answer.read(PIECE)):
                content += piece
    except (OSError, http.client.HTTPException, ValueError) as error:  # urllib's and ssl's are
        raise NotFetched(f"it cannot be fetched: {error}") from None
    if len(content) != size:
        raise NotFetched(f"{len(content)} bytes came, {size} were meant")
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise NotFetched("what came is not what was meant")
    return bytes(content)
