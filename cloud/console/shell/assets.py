"""The console's own files: addresses that name the content, so that a browser may keep them for ever."""

from pathlib import Path

from cloud.http.own_files import OwnFiles

FILES = OwnFiles("console.static", Path(__file__).parents[1] / "static")
asset = FILES.address
