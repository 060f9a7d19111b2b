"""The top of a message that cannot be read whole: its sender, its version, and what it names."""

from collections.abc import Container
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from protocol import VERSION
from protocol.errors import Malformed, UnknownKind, UnknownVersion
from protocol.fields import STORABLE, Id, Ordinal
from protocol.json_text import NotJson, check_depth


class _Head(Struct):
    """What every message of every version has, or may have, at its top."""

    v: Ordinal = VERSION
    kind: Annotated[str, Meta(pattern=STORABLE)] = ""
    message_id: Annotated[str, Meta(pattern=STORABLE)] = ""
    command_id: Annotated[str, Meta(pattern=STORABLE)] = ""
    probe_id: Annotated[str, Meta(pattern=STORABLE)] = ""
    job_id: Annotated[str, Meta(pattern=STORABLE)] = ""


class Named(Struct):
    """What a make must say to be refused by name."""

    kind: Literal["make"]
    command_id: Id
    order_id: Id
    v: Ordinal = VERSION


def explain(payload: bytes, error: Exception, known: Container[str]) -> Malformed | UnknownKind | UnknownVersion:
    """A message that did not decode: newer than us, or broken? `known` are our kinds."""
    try:
        head = _HEAD.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed(f"not a message: {error}")
    if head.v != VERSION:
        return UnknownVersion(f"version {head.v}, we speak {VERSION}")
    if not head.kind:
        return Malformed("names no kind")
    if head.kind not in known:
        reference = head.message_id or head.command_id or head.probe_id or head.job_id
        return UnknownKind(head.kind[:64], reference[:255])
    return Malformed(f"{head.kind}: {error}")


def named_by(payload: bytes) -> Named | None:
    """The ids in a make that is otherwise no message; None when it names none, or is newer than us."""
    try:
        check_depth(payload)
        named = _NAMED.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, NotJson):
        return None
    return named if named.v == VERSION else None


_HEAD: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)
_NAMED: msgspec.json.Decoder[Named] = msgspec.json.Decoder(Named)
