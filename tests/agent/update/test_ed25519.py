"""Signatures: the vectors of RFC 8032 7.1, what another implementation signs, and all that is not quite one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent import ed25519

VECTORS = {
    "1, empty": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "2, one byte": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "3, two bytes": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
}
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_the_standard(name: str) -> None:
    key, message, signature = map(bytes.fromhex, VECTORS[name])
    assert ed25519.is_signed(message, signature, key)
    assert not ed25519.is_signed(message + b"x", signature, key)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511), st.booleans())
def test_what_another_implementation_signs_is_good_and_nothing_else(
    seed: bytes, message: bytes, bit: int, in_key: bool
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519.is_signed(message, signature, key)
    broken = bytearray(key if in_key else signature)
    broken[bit // 8 % len(broken)] ^= 1 << bit % 8
    assert not ed25519.is_signed(message, *((signature, bytes(broken)) if in_key else (bytes(broken), key)))


@given(st.binary(max_size=70), st.binary(max_size=40))
def test_what_is_no_signature_at_all_is_refused_without_an_error(signature: bytes, key: bytes) -> None:
    assert not ed25519.is_signed(b"anything", signature, key)


def test_a_signature_has_one_form() -> None:
    """The same scalar plus the order of the group would be another signature of the same message."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = private.sign(b"m")
    raised = int.from_bytes(signature[32:], "little") + ORDER
    other = signature[:32] + raised.to_bytes(32, "little")
    assert not ed25519.is_signed(b"m", other, private.public_key().public_bytes_raw())
