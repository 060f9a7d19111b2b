"""What a QR code's signature is worth, and that the document for machines' makers says the same."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet.qr_key import QrKeys
from cloud.orders.qr_signature import LONGEST_LIFE_S, QrCode, Signature, judge, sign, signed_text
from tests.cloud.worlds import SECRET_KEY

DOCUMENT = Path(__file__).parents[3] / "docs" / "qr-codes.md"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EXP = str(int(NOW.timestamp()) + 900)
KEY = QrKeys(SECRET_KEY).of("m-001", 1)
IDS = ("m-001", "latte", 1, "o-1")
printable = st.text(min_size=1, max_size=20).filter(str.isprintable)


def judged(sig: str, exp: str = EXP, ids: tuple[str, str, int, str] = IDS, now: datetime = NOW) -> Signature:
    return judge(QrCode(exp, sig), signed_text(*ids, exp), (KEY,), now)


def test_the_worked_example_of_the_document_holds() -> None:
    example = dict(re.findall(r"^\| `?([\w ]+)`? \| `([^`]+)` \|$", DOCUMENT.read_text(encoding="utf-8"), re.M))
    text = signed_text(example["deviceUuid"], example["drinkNo"], int(example["size"]), example["uuid"], example["exp"])
    assert KEY.hex() == example["key"]
    assert text.hex() == example["bytes signed"]
    assert sign(KEY, text) == example["sig"]


def test_what_the_machine_signed_is_good_until_its_time_is_over() -> None:
    sig = sign(KEY, signed_text(*IDS, EXP))
    assert judged(sig) is Signature.GOOD
    assert judged(sig, now=NOW + timedelta(seconds=900)) is Signature.GOOD
    assert judged(sig, now=NOW + timedelta(seconds=901)) is Signature.STALE


def test_a_code_for_ever_is_no_code() -> None:
    for ahead, worth in ((LONGEST_LIFE_S, Signature.GOOD), (LONGEST_LIFE_S + 1, Signature.WRONG)):
        exp = str(int(NOW.timestamp()) + ahead)
        assert judged(sign(KEY, signed_text(*IDS, exp)), exp) is worth


@pytest.mark.parametrize(
    "ids",
    [
        ("m-002", "latte", 1, "o-1"),
        ("m-001", "mocha", 1, "o-1"),
        ("m-001", "latte", 2, "o-1"),
        ("m-001", "latte", 1, "o-2"),
    ],
)
def test_device_drink_size_and_order_are_bound(ids: tuple[str, str, int, str]) -> None:
    assert judged(sign(KEY, signed_text(*IDS, EXP)), ids=ids) is Signature.WRONG


def test_the_time_is_bound() -> None:
    assert judged(sign(KEY, signed_text(*IDS, EXP)), str(int(EXP) + 60)) is Signature.WRONG


@pytest.mark.parametrize("exp", ["", "soon", "-5", "1e9", " 1772443800", "9" * 13, "١٧٧٢٤٤٣٨٠٠"])
def test_a_time_that_is_none_is_wrong_whoever_signed_it(exp: str) -> None:
    assert judged(sign(KEY, signed_text(*IDS, exp)), exp) is Signature.WRONG


def test_no_signature_is_none_and_nonsense_is_wrong() -> None:
    assert judged("") is Signature.NONE
    for sig in ("x", "é" * 64, "0" * 64, sign(KEY, signed_text(*IDS, EXP)).upper()):
        assert judged(sig) is Signature.WRONG


def test_another_key_is_wrong_and_no_key_too() -> None:
    other = QrKeys(SECRET_KEY).of("m-001", 2)
    code = QrCode(EXP, sign(other, signed_text(*IDS, EXP)))
    assert judge(code, signed_text(*IDS, EXP), (KEY,), NOW) is Signature.WRONG
    assert judge(code, signed_text(*IDS, EXP), (KEY, other), NOW) is Signature.GOOD
    assert judge(code, signed_text(*IDS, EXP), (), NOW) is Signature.WRONG


@given(st.tuples(printable, printable, printable), st.tuples(printable, printable, printable))
def test_two_codes_never_sign_the_same_bytes(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def text(ids: tuple[str, str, str]) -> bytes:
        return signed_text(ids[0], ids[1], 1, ids[2], EXP)

    assert (text(one) == text(other)) == (one == other)
