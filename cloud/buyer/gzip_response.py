"""Makes answers smaller for slow lines: gzip, where the browser takes it. Event streams pass as they are."""

import gzip
from functools import lru_cache

from flask import Response, request

SMALLEST = 600
"""Bytes; less fits one packet either way."""
LEVEL = 6
KEPT_FILES = 16
"""Compressed once: pages differ, our own files do not."""
_TEXT = frozenset({"text/html", "text/css", "text/javascript", "image/svg+xml", "application/json"})


def gzip_response(response: Response) -> Response:
    """The same answer, compressed if that helps. Nothing secret is in it beside what its address says."""
    if response.mimetype not in _TEXT or (response.is_streamed and not response.direct_passthrough):
        return response
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] <= 0 or response.status_code in {204, 304} or request.method == "HEAD":
        return response
    response.direct_passthrough = False
    whole = response.get_data()
    if len(whole) >= SMALLEST and "Content-Encoding" not in response.headers:
        is_file = request.endpoint is not None and request.endpoint.endswith(".static")
        response.set_data(_gzipped_once(whole) if is_file else _gzipped(whole))
        response.headers["Content-Encoding"] = "gzip"
        if not response.headers.get("ETag", "").startswith("W/"):  # it would name other bytes than these
            response.headers.pop("ETag", None)
    return response


def _gzipped(whole: bytes) -> bytes:
    return gzip.compress(whole, LEVEL, mtime=0)


@lru_cache(KEPT_FILES)
def _gzipped_once(whole: bytes) -> bytes:
    return gzip.compress(whole, 9, mtime=0)
