"""Jinja's templates compiled once in a test process, not once in each of the thousand applications made there."""

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache


class _Compiled(BytecodeCache):
    """In memory, by name and source: a changed template is compiled anew."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        known = self._known.get(bucket.key)
        if known is not None:
            bucket.bytecode_from_string(known)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key] = bucket.bytecode_to_string()


def compile_once() -> None:
    """For every Flask application made after this."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Compiled()}
