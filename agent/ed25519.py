"""Ed25519 signatures, checked only (RFC 8032 5.1.7). Pure; no secret ever passes through here, so time may vary.

Written out because nothing the agent has can do it, and a library for it weighs more than the agent
(docs/decisions.md).
"""

import hashlib
from typing import NamedTuple

KEY, SIGNATURE = 32, 64
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)


class _Point(NamedTuple):
    """Extended coordinates: x = X/Z, y = Y/Z, xy = T/Z."""

    x: int
    y: int
    z: int
    t: int


_NEUTRAL = _Point(0, 1, 1, 0)


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether the holder of the private half of `key` has signed exactly these bytes."""
    if len(signature) != SIGNATURE or len(key) != KEY:
        return False
    signer, scalar = _decoded(key), int.from_bytes(signature[32:], "little")
    if signer is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    minus_signer = _Point(-signer.x % _P, signer.y, signer.z, -signer.t % _P)
    return _encoded(_sum_of(scalar, _BASE, challenge, minus_signer)) == signature[:32]


def _sum_of(first: int, one: _Point, second: int, other: _Point) -> _Point:
    """`first`·`one` + `second`·`other`, both scalars walked through at once."""
    both = _added(one, other)
    found = _NEUTRAL
    for bit in reversed(range(max(first.bit_length(), second.bit_length()))):
        found = _added(found, found)
        match first >> bit & 1, second >> bit & 1:
            case 1, 1:
                found = _added(found, both)
            case 1, 0:
                found = _added(found, one)
            case 0, 1:
                found = _added(found, other)
    return found


def _added(one: _Point, other: _Point) -> _Point:
    a = (one.y - one.x) * (other.y - other.x) % _P
    b = (one.y + one.x) * (other.y + other.x) % _P
    c = 2 * one.t * other.t * _D % _P
    d = 2 * one.z * other.z % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _encoded(point: _Point) -> bytes:
    inverse = pow(point.z, -1, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(encoded: bytes) -> _Point | None:
    """None for what is no point of the curve, or is written in another than its one way."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= _P:
        return None
    squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(squared, (_P + 3) // 8, _P)
    if (x * x - squared) % _P:
        x = x * _ROOT_OF_MINUS_1 % _P
    if (x * x - squared) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return _Point(x, y, 1, x * y % _P)


def _base() -> _Point:
    found = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert found is not None  # noqa: S101
    return found


_BASE = _base()
